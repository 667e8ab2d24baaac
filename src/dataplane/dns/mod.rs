//! Names: how one question is answered out of a view's zones, and what upstream has to be asked. Values only: no packets, no clock.
//!
//! A [`Query`] is read from a message's bytes; a [`Resolution`] takes it through the view's [`Zones`] and says when upstream is to be
//! asked; its [`Response`] goes back into the query's reply. Of all zones that a name lies in the longest decides, and what that
//! does not have does not exist: upstream is asked only for what lies in no zone.

mod message;
mod resolution;
mod special;
mod write;
mod zone;
mod zones;

pub use message::{Query, Transport};
pub use resolution::{Ask, Resolution, Response, Source, Step, Upstream};
pub use zones::Zones;
