//! The bodies of requests are read only for clients that may send them, within a size limit, and only a
//! limited number at a time.
//!
//! A client that may do nothing with a body is refused before any of it is read; so is a body whose length,
//! as its head declares it, is too large. What is read stays below a bound for all requests together: a small
//! body does not count, a larger one needs one of [`LARGE`] places. The input of a command is not stored: it
//! is passed on to the command part by part.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes};
use recovery::daemon::Role;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::problem::Problem;

/// The largest body of a request, bytes.
const LARGEST: usize = 1 << 20;
/// A body that may be larger than this needs a place.
const SMALL: usize = 64 << 10;
/// How many of these are read and worked on at a time.
const LARGE: usize = 32;
/// How long a client may take to send a body, or to get a place for it.
const TIME: Duration = Duration::from_secs(30);
/// The most that a command line, with its input, may have: of those who may do everything, for many jobs at once; of
/// those who look, whose commands read nothing.
const LARGEST_COMMAND: usize = 64 << 20;
const LARGEST_COMMAND_OF_VIEWERS: usize = SMALL;
/// How many units of input are worked on at a time: a command takes one, and a command that keeps all of it
/// until its end takes two. Each has some ten thousand jobs in memory.
const INPUTS: usize = 2;
/// Parts of an input that wait for its command.
const PARTS: usize = 2;

/// What bodies take, of all requests.
pub(super) struct Bodies {
    large: Arc<Semaphore>,
    inputs: Arc<Semaphore>,
}

/// A body that was read.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    /// Its place.
    _place: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(super) fn new() -> Bodies {
        Bodies { large: Arc::new(Semaphore::new(LARGE)), inputs: Arc::new(Semaphore::new(INPUTS)) }
    }

    /// Reads the body of a request, which keeps its place until it is dropped.
    ///
    /// # Errors
    /// 413 for a body that is too large, before it is read when its head declares it; 408 for one that comes
    /// too slowly; 503 when there is no place for it.
    pub(super) async fn whole(&self, body: Body) -> Result<Whole, Problem> {
        let length = body.size_hint();
        if length.lower() > LARGEST as u64 {
            return Err(too_large(LARGEST));
        }
        let is_small = length.upper().is_some_and(|bytes| bytes <= SMALL as u64);
        let place = if is_small { None } else { Some(place(&self.large, 1).await?) };
        match timeout(TIME, Limited::new(body, LARGEST).collect()).await {
            Ok(Ok(whole)) => Ok(Whole { bytes: whole.to_bytes(), _place: place }),
            Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large(LARGEST)),
            Ok(Err(e)) => Err(Problem::malformed(format!("the body broke off: {e}"))),
            Err(_) => Err(too_slow()),
        }
    }

    /// The first line of a command's body, and what comes behind it.
    pub(super) async fn command(&self, mut body: Body, role: Role) -> Result<(Vec<u8>, Rest), Problem> {
        let (most, longest_line) = match role {
            Role::Admin => (LARGEST_COMMAND, LARGEST),
            Role::Viewer => (LARGEST_COMMAND_OF_VIEWERS, LARGEST_COMMAND_OF_VIEWERS),
        };
        if body.size_hint().lower() > most as u64 {
            return Err(too_large(most));
        }
        let read_line = async {
            let mut line: Vec<u8> = Vec::new();
            loop {
                let Some(part) = next_part(&mut body).await else { return Ok((line, Bytes::new())) };
                let part = part.map_err(|e| Problem::malformed(format!("the body broke off: {e}")))?;
                let end = part.iter().position(|byte| *byte == b'\n');
                line.extend_from_slice(&part[..end.unwrap_or(part.len())]);
                if line.len() > longest_line {
                    return Err(too_large(longest_line));
                }
                if let Some(end) = end {
                    return Ok((line, part.slice(end + 1..)));
                }
            }
        };
        let (line, begun) = timeout(TIME, read_line).await.map_err(|_| too_slow())??;
        let left = most.saturating_sub(line.len() + 1);
        Ok((line, Rest { begun, body, left }))
    }

    /// What comes behind a command's line, for the command to read; `keeps_all` says that it has all of it in memory at
    /// its end.
    ///
    /// # Errors
    /// 503 when there is no place for it.
    pub(super) async fn input(&self, rest: Rest, keeps_all: bool) -> Result<Input, Problem> {
        if rest.begun.is_empty() && rest.body.is_end_stream() {
            return Ok(Input { part: Bytes::new(), parts: None, _place: None });
        }
        let place = place(&self.inputs, if keeps_all { 2 } else { 1 }).await?;
        let (send, parts) = mpsc::channel(PARTS);
        let part = rest.begun;
        tokio::spawn(pump(rest.body, rest.left.saturating_sub(part.len()), send));
        Ok(Input { part, parts: Some(parts), _place: Some(place) })
    }
}

async fn place(of: &Arc<Semaphore>, number: u32) -> Result<OwnedSemaphorePermit, Problem> {
    let got = timeout(TIME, of.clone().acquire_many_owned(number)).await;
    got.ok().and_then(Result::ok).ok_or_else(|| {
        Problem::new(503, "busy", "too many bodies", "other clients' bodies are worked on").retry_after(1)
    })
}

fn too_large(most: usize) -> Problem {
    let detail = format!("the body is larger than {most} bytes");
    Problem::new(413, "body-too-large", "the body is too large", detail)
}

fn too_slow() -> Problem {
    Problem::new(408, "body-too-slow", "the body came too slowly", "")
}

async fn next_part(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        match body.frame().await?.map(hyper::body::Frame::into_data) {
            Ok(Ok(part)) => return Some(Ok(part)),
            // The part holds trailers.
            Ok(Err(_)) => {}
            Err(e) => return Some(Err(e)),
        }
    }
}

/// What has not been read of a command's body.
pub(super) struct Rest {
    /// The beginning of it, which came with the line.
    begun: Bytes,
    body: Body,
    /// How much may come in all.
    left: usize,
}

/// Hands on what comes, as fast as it is taken.
async fn pump(mut body: Body, mut left: usize, send: mpsc::Sender<io::Result<Bytes>>) {
    let broken = |why: String| Err(io::Error::other(why));
    loop {
        let part = match timeout(TIME, next_part(&mut body)).await {
            Ok(None) => return,
            Ok(Some(Ok(part))) => match left.checked_sub(part.len()) {
                Some(less) => {
                    left = less;
                    Ok(part)
                }
                None => broken(format!("it is larger than {LARGEST_COMMAND} bytes")),
            },
            Ok(Some(Err(e))) => broken(format!("it broke off: {e}")),
            Err(_) => broken("it came too slowly".to_owned()),
        };
        let is_last = part.is_err();
        // The reader may have seen enough.
        if send.send(part).await.is_err() || is_last {
            return;
        }
    }
}

/// A command's input, as it comes. Read away from the threads that serve connections.
pub(super) struct Input {
    part: Bytes,
    parts: Option<mpsc::Receiver<io::Result<Bytes>>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.part.is_empty() {
            let Some(parts) = &mut self.parts else { break };
            match parts.blocking_recv() {
                Some(part) => self.part = part?,
                None => self.parts = None,
            }
        }
        Ok(&self.part)
    }

    fn consume(&mut self, bytes: usize) {
        self.part = self.part.split_off(bytes);
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    use super::*;

    fn on_a_runtime<T>(act: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(act)
    }

    /// A body that comes in these parts.
    struct Parts(VecDeque<&'static str>);

    impl hyper::body::Body for Parts {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))))
        }
    }

    fn parts(texts: &[&'static str]) -> Body {
        Body::new(Parts(texts.iter().copied().collect()))
    }

    #[test]
    fn line_ends_where_it_ends_whatever_it_came_in() {
        for (texts, line, rest) in [
            (&["{}\nab", "c\n"][..], "{}", "abc\n"),
            (&["{", "}", "\n", "abc\n"], "{}", "abc\n"),
            (&["{}"], "{}", ""),
            (&["{}\n"], "{}", ""),
        ] {
            let bodies = Bodies::new();
            let (got, input) = on_a_runtime(async {
                let (got, rest) = bodies.command(parts(texts), Role::Admin).await.unwrap();
                let input = bodies.input(rest, false).await.unwrap();
                let whole = tokio::task::spawn_blocking(move || io::read_to_string(input).unwrap());
                (got, whole.await.unwrap())
            });
            assert_eq!((String::from_utf8(got).unwrap().as_str(), input.as_str()), (line, rest));
        }
    }

    #[test]
    fn viewers_commands_are_small() {
        let large = vec![b'x'; LARGEST_COMMAND_OF_VIEWERS + 1];
        let status = |body: Body, role| {
            on_a_runtime(async { Bodies::new().command(body, role).await.map_or_else(|p| p.status, |_| 200) })
        };
        assert_eq!(status(Body::from(large.clone()), Role::Viewer), 413);
        assert_eq!(status(Body::from(large), Role::Admin), 200);
        assert_eq!(status(Body::from(vec![b'x'; LARGEST + 1]), Role::Admin), 413);
    }

    #[test]
    fn body_that_is_too_large_is_not_read() {
        let whole = |body: Body| {
            on_a_runtime(async { Bodies::new().whole(body).await.map_or_else(|p| p.status, |_| 200) })
        };
        assert_eq!(whole(Body::from(vec![b'x'; LARGEST])), 200);
        assert_eq!(whole(Body::from(vec![b'x'; LARGEST + 1])), 413);
    }
}
