//! What upstream has been asked, and who waits for it.
//!
//! Invariant: upstream is asked the same of the same view once at a time, for a resource whatever instances ask, so that nothing
//! which an instance is refused is refused to a resource; each question ends, five seconds after it was asked at the latest.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hickory_proto::op::ResponseCode;
use parking_lot::Mutex;

use super::super::Event;
use super::super::config::{EniIdx, ResourceIdx, View};
use super::super::dns::{Ask, Query, Resolution, Upstream};
use super::super::names::Known;
use super::super::schedule::Due;
use super::super::time::Instant;
use super::Client;
use super::quota::Quota;

/// How long upstream is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many packets' questions may wait.
const MOST: usize = 8192;
/// Of them, those of one interface.
const MOST_EACH: usize = 1024;

/// Names one question to upstream; see [`Event::Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(u64);

/// For whom upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    /// An instance.
    Instance,
    /// privlink itself: a resource's name, a proof, or what people ask it.
    Itself,
}

/// A question that cannot go on without upstream.
pub(in crate::dataplane) struct Waiting {
    pub(in crate::dataplane) view: View,
    pub(in crate::dataplane) resolution: Resolution,
    pub(in crate::dataplane) who: Who,
}

/// Who has asked.
pub(in crate::dataplane) enum Who {
    /// An instance, by this query.
    Client(Client, Box<Query>),
    /// A resource, whose name it is that is known by this.
    Resource(ResourceIdx, Arc<Known>),
}

impl Who {
    fn asker(&self) -> Asker {
        match self {
            Self::Client(..) => Asker::Instance,
            Self::Resource(..) => Asker::Itself,
        }
    }
}

/// All questions to upstream.
pub(in crate::dataplane) struct Questions {
    due: Due,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    /// In the order in which they were asked.
    open: BTreeMap<AskId, Open>,
    ids: HashMap<(View, Asker, Ask), AskId, FixedState>,
    told: VecDeque<Told>,
    next: AskId,
    quota: Quota<EniIdx>,
}

/// Upstream has yet to say something.
struct Open {
    view: View,
    asker: Asker,
    ask: Ask,
    until: Instant,
    waiting: VecDeque<Waiting>,
}

/// Upstream has said this.
struct Told {
    at: Instant,
    upstream: Upstream,
    waiting: VecDeque<Waiting>,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            due: Due::default(),
            ledger: Mutex::new(Ledger {
                open: BTreeMap::new(),
                ids: HashMap::default(),
                told: VecDeque::new(),
                next: AskId(0),
                quota: Quota::new(MOST, MOST_EACH),
            }),
        }
    }
}

impl Questions {
    /// Lets somebody wait for this; the event that asks upstream, if nobody has asked yet.
    ///
    /// # Errors
    /// The question itself, if there are too many.
    pub(super) fn put(
        &self,
        ask: Ask,
        waiting: Waiting,
        now: Instant,
    ) -> Result<Option<Event>, Box<Waiting>> {
        self.with(|ledger| ledger.put(ask, waiting, now))
    }

    /// Upstream has said something, perhaps to a question that has been given up meanwhile.
    pub(super) fn tell(&self, id: AskId, upstream: Upstream, now: Instant) {
        self.with(|ledger| ledger.tell(id, upstream, now));
    }

    /// The next questions that can go on, and how.
    pub(super) fn take_told(&self, most: usize, now: Instant) -> Vec<(Waiting, Upstream)> {
        self.with(|ledger| {
            ledger.give_up(now);
            (0..most).map_while(|_| ledger.take_told()).collect()
        })
    }

    /// When there is something to take.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.at()
    }

    fn with<R>(&self, act: impl FnOnce(&mut Ledger) -> R) -> R {
        let mut ledger = self.ledger.lock();
        let result = act(&mut ledger);
        let told = ledger.told.front().map(|told| told.at);
        let open = ledger.open.values().next().map(|open| open.until);
        self.due.note(told.or(open));
        result
    }
}

impl Ledger {
    fn put(
        &mut self,
        ask: Ask,
        waiting: Waiting,
        now: Instant,
    ) -> Result<Option<Event>, Box<Waiting>> {
        if let Who::Client(client, _) = &waiting.who
            && !self.quota.take(client.key.ingress)
        {
            return Err(Box::new(waiting));
        }
        let (view, asker) = (waiting.view, waiting.who.asker());
        if let Some(open) = self.same(view, asker, &ask) {
            open.waiting.push_back(waiting);
            return Ok(None);
        }
        let id = self.next;
        self.next = AskId(id.0 + 1);
        self.ids.insert((view, asker, ask.clone()), id);
        let open = Open {
            view,
            asker,
            ask: ask.clone(),
            until: now + PATIENCE,
            waiting: VecDeque::from([waiting]),
        };
        self.open.insert(id, open);
        Ok(Some(Event::Ask {
            id,
            view,
            asker,
            ask,
        }))
    }

    fn same(&mut self, view: View, asker: Asker, ask: &Ask) -> Option<&mut Open> {
        let id = self.ids.get(&(view, asker, ask.clone()))?;
        self.open.get_mut(id)
    }

    fn tell(&mut self, id: AskId, upstream: Upstream, at: Instant) {
        if let Some(Open {
            view,
            asker,
            ask,
            waiting,
            ..
        }) = self.open.remove(&id)
        {
            self.ids.remove(&(view, asker, ask));
            self.told.push_back(Told {
                at,
                upstream,
                waiting,
            });
        }
    }

    /// Waits no longer for what has been asked too long ago.
    fn give_up(&mut self, now: Instant) {
        while let Some((id, open)) = self.open.first_key_value()
            && open.until <= now
        {
            let id = *id;
            self.tell(id, Upstream::Failed(ResponseCode::ServFail), now);
        }
    }

    fn take_told(&mut self) -> Option<(Waiting, Upstream)> {
        let told = self.told.front_mut()?;
        let taken = (told.waiting.pop_front()?, told.upstream.clone());
        if told.waiting.is_empty() {
            self.told.pop_front();
        }
        if let Who::Client(client, _) = &taken.0.who {
            self.quota.give_back(client.key.ingress);
        }
        Some(taken)
    }
}
