//! Names, as far as the daemon has a part in them: what the data plane's resolvers ask upstream, and what people ask by themselves.
//!
//! Invariant: nobody waits here but who has asked. A question of the data plane is a task of its own, which tells it when it is over.

mod dig;
pub mod public;
pub mod query_log;
mod resolvers;
pub mod upstream;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;

use crate::dataplane::config::View;
use crate::dataplane::dns::{self, Ask, Query, Resolution, Response, Step};
use crate::dataplane::{AskId, Asker, Dataplane};
use crate::io::Clock;
use upstream::Upstream;

pub use dig::{dig, status};
pub use verify::verify_always;

/// How long somebody waits who asks by himself, over all of a chain of CNAMEs.
const PATIENCE: Duration = Duration::from_secs(8);

/// The daemon's part in names.
pub struct Names {
    /// Who is asked what no zone says.
    pub upstream: Upstream,
    dataplane: Arc<Dataplane>,
    clock: Clock,
    /// Has a worker go on with what has been told.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Names {
    /// For this data plane.
    pub fn new(
        upstream: Upstream,
        dataplane: Arc<Dataplane>,
        clock: Clock,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            upstream,
            dataplane,
            clock,
            wake: Box::new(wake),
        }
    }

    /// With nobody upstream, and no worker to wake.
    #[cfg(test)]
    pub fn alone(dataplane: Arc<Dataplane>, clock: Clock) -> Self {
        let upstream = Upstream::new(&upstream::Servers::These(Vec::new()));
        Self::new(upstream, dataplane, clock, || ())
    }

    /// The data plane asks; it is told as soon as upstream has said something.
    pub fn ask(self: &Arc<Self>, id: AskId, view: View, asker: Asker, ask: Ask) {
        let names = Arc::clone(self);
        tokio::spawn(async move {
            let said = names.upstream.lookup(view, asker, &ask).await;
            names.dataplane.handle_resolved(id, said, names.clock.now());
            (names.wake)();
        });
    }

    /// The response to somebody's question in this view.
    pub async fn resolve(&self, view: View, query: &Query) -> Response {
        let mut resolution = Resolution::new(query);
        match tokio::time::timeout(PATIENCE, self.finish(view, &mut resolution)).await {
            Ok(response) => response,
            Err(_) => self.give_up(view, &mut resolution, ResponseCode::ServFail),
        }
    }

    async fn finish(&self, view: View, resolution: &mut Resolution) -> Response {
        loop {
            match self.dataplane.resolve(view, resolution) {
                Step::Respond(response) => return response,
                Step::Ask(ask) => {
                    resolution.told(self.upstream.lookup(view, Asker::Itself, &ask).await);
                }
            }
        }
    }

    /// What there is to respond without upstream.
    fn give_up(&self, view: View, resolution: &mut Resolution, code: ResponseCode) -> Response {
        loop {
            match self.dataplane.resolve(view, resolution) {
                Step::Respond(response) => return response,
                Step::Ask(_) => resolution.told(dns::Upstream::Failed(code)),
            }
        }
    }
}
