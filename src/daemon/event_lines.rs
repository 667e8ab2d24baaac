//! Events as the body of an answer: JSON, one per line.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::events::Reader;

/// The body: what it is asked for next is read only then, so that a slow reader holds nothing up.
pub struct EventLines(Receiver<Bytes>);

impl EventLines {
    /// What `reader` has to read, and (`follow`) all that comes.
    pub fn new(reader: Reader, follow: bool) -> Self {
        let (lines, body) = channel(1);
        tokio::spawn(read(reader, follow, lines));
        Self(body)
    }
}

impl Body for EventLines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let lines = ready!(self.0.poll_recv(context));
        Poll::Ready(lines.map(|lines| Ok(Frame::data(lines))))
    }
}

/// Ends when there is no more, or nobody who reads it.
async fn read(mut reader: Reader, follow: bool, lines: Sender<Bytes>) {
    let mut goes_on = follow;
    loop {
        // First a place for them, then the events that are there by then.
        let Ok(place) = lines.reserve().await else {
            return;
        };
        let mut text = Vec::new();
        for event in reader.read() {
            // A struct of numbers and texts is always JSON.
            let _ = serde_json::to_writer(&mut text, &event);
            text.push(b'\n');
        }
        if !text.is_empty() {
            place.send(text.into());
        } else {
            drop(place);
        }
        if !goes_on {
            return;
        }
        tokio::select! {
            more = reader.wait() => goes_on = more,
            () = lines.closed() => return,
        }
    }
}
