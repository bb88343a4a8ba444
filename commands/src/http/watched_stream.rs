//! A connection's stream, which tells its place what happens on it, and is closed so that the last answer arrives.
//!
//! A connection on which something has come that nobody reads is reset when it is closed, and the other end
//! may lose the answer by which it was refused. So what still comes is read and thrown away for a moment,
//! with a smaller limit for clients that have shown no token.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::places::Place;

/// How long the other end may take to see that the connection is closed.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// The most that is thrown away, bytes: of who has shown nothing, and of others.
const LINGER_BYTES: u64 = 1 << 20;
const LINGER_BYTES_OF_KNOWN: u64 = 64 << 20;

/// See the module.
pub(super) struct WatchedStream<S> {
    stream: S,
    place: Place,
    lingering: Option<Lingering>,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    left: u64,
}

impl<S> WatchedStream<S> {
    pub(super) fn new(stream: S, place: Place) -> WatchedStream<S> {
        WatchedStream { stream, place, lingering: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.place.has_read();
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.place.has_written(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.place.has_written(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            if !this.place.has_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        let is_known = this.place.is_known();
        let lingering = this.lingering.get_or_insert_with(|| Lingering {
            until: Box::pin(sleep(LINGER_TIME)),
            left: if is_known { LINGER_BYTES_OF_KNOWN } else { LINGER_BYTES },
        });
        let mut thrown_away = [0; 16 << 10];
        while lingering.left > 0 && lingering.until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut thrown_away);
            match ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    lingering.left = lingering.left.saturating_sub(buffer.filled().len() as u64);
                }
                // The other end has closed the connection.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
