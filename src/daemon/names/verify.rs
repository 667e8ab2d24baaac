//! Whether providers own the domains of their services' private DNS names: the TXT records that prove it are looked for in public.
//!
//! Invariant: each look-up that is wanted is answered once, by what was found or, when nobody has answered for long, by nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};

use super::Names;
use crate::control::id::VpcEndpointServiceId;
use crate::daemon::live::Live;
use crate::dataplane::config::View;
use crate::dataplane::dns::Query;

/// Until nobody's answer is asked for again.
const AGAIN: Duration = Duration::from_secs(60);
/// Until it is given up.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Looks for what is wanted, after each change, for as long as the daemon runs. After a panic it begins anew.
pub async fn verify_always(live: Arc<Live>) {
    while tokio::spawn(verify(Arc::clone(&live))).await.is_err() {
        tokio::time::sleep(AGAIN).await;
    }
}

async fn verify(live: Arc<Live>) {
    let mut changes = live.deadline.subscribe();
    let mut since: HashMap<VpcEndpointServiceId, Instant> = HashMap::new();
    loop {
        changes.borrow_and_update();
        let wanted = live.fabric().state.private_dns_look_ups();
        since.retain(|service, _| wanted.iter().any(|(id, _)| id == service));
        for (service, name) in &wanted {
            let waiting = since.entry(*service).or_insert_with(Instant::now).elapsed();
            let found = live.names.proof(name).await;
            if let Some(found) = found.or((waiting >= PATIENCE).then(Vec::new)) {
                report(&live, *service, found).await;
            }
        }
        let all_are_answered = wanted.is_empty();
        tokio::select! {
            // It cannot fail while the topology lives.
            _ = changes.changed() => {}
            () = tokio::time::sleep(AGAIN), if !all_are_answered => {}
        }
    }
}

async fn report(live: &Arc<Live>, service: VpcEndpointServiceId, found: Vec<String>) {
    let live = Arc::clone(live);
    let reported =
        tokio::task::spawn_blocking(move || live.verify_private_dns_name(service, &found)).await;
    if let Ok(Err(refusal)) = reported {
        let refusal = refusal.view();
        tracing::warn!(%service, %refusal, "the proof of a private DNS name was not taken up");
    }
}

impl Names {
    /// The texts at this name; `None`: nobody knows.
    async fn proof(&self, name: &str) -> Option<Vec<String>> {
        let name = Name::from_ascii(format!("{name}.")).ok()?;
        let query = Query::new(name, RecordType::TXT);
        let response = self.resolve(View::Public, &query).await;
        let texts = response
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(text) => {
                    Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned())
                }
                _ => None,
            });
        match response.code {
            ResponseCode::NoError | ResponseCode::NXDomain => Some(texts.collect()),
            _ => None,
        }
    }
}
