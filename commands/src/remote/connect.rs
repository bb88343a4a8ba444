//! A connection to a daemon, and one request over it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::error::{CliError, ErrorKind};
use crate::socket::SocketPath;
use recovery::state::human;

/// How long a connection may take to come about.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Where a daemon is.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// `HOST:PORT`, the path below which a proxy offers it, and the token to show.
    Tcp {
        authority: String,
        base: String,
        token: String,
    },
    Socket(PathBuf),
}

impl Target {
    pub(crate) fn name(&self) -> String {
        match self {
            Target::Tcp { authority, base, .. } => format!("http://{authority}{base}"),
            Target::Socket(path) => path.display().to_string(),
        }
    }

    /// Sends a request; the answer's body is still to be read.
    ///
    /// # Errors
    /// When no daemon answers.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<AnswerBody>, CliError> {
        match self {
            Target::Tcp { authority, .. } => {
                let connected = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(authority)).await;
                let stream = connected.map_err(|_| self.unreachable(&no_connection()))?;
                let stream = stream.map_err(|e| self.unreachable(&e))?;
                let _ = stream.set_nodelay(true); // It only saves time.
                self.exchange(stream, method, path, body).await
            }
            Target::Socket(socket) => {
                let socket = SocketPath::of(socket).map_err(|e| self.unreachable(&e))?;
                let stream = UnixStream::connect(socket.as_path()).await.map_err(|e| self.unreachable(&e))?;
                self.check_who_serves(&stream)?;
                self.exchange(stream, method, path, body).await
            }
        }
    }

    /// What another user's process says is not this user's daemon.
    fn check_who_serves(&self, stream: &UnixStream) -> Result<(), CliError> {
        let uid = stream.peer_cred().map_err(|e| self.unreachable(&e))?.uid();
        if uid == 0 || uid == rustix::process::geteuid().as_raw() {
            return Ok(());
        }
        let message =
            format!("a process of another user (uid {uid}) serves {}: it is told nothing", self.name());
        Err(CliError::new(ErrorKind::Refused, message)
            .code("daemon-of-another-user")
            .hint(format!("act as that user: sudo -u '#{uid}' recoveryctl …")))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<AnswerBody>, CliError> {
        let shaken = tokio::time::timeout(CONNECT_TIME, http1::handshake(TokioIo::new(stream))).await;
        let (mut sender, connection) =
            shaken.map_err(|e| self.unreachable(&e))?.map_err(|e| self.unreachable(&e))?;
        // The reader of the body sees the end of the connection.
        tokio::spawn(connection);
        let base = match self {
            Target::Tcp { base, .. } => base,
            Target::Socket(_) => "",
        };
        let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
        request = match self {
            Target::Tcp { authority, token, .. } => request
                .header(header::HOST, authority)
                .header(header::AUTHORIZATION, format!("Bearer {token}")),
            Target::Socket(_) => request.header(header::HOST, "localhost"),
        };
        let request = request.body(Full::new(Bytes::from(body))).map_err(|e| self.unreachable(&e))?;
        let response = sender.send_request(request).await.map_err(|e| self.unreachable(&e))?;
        Ok(response.map(|frames| AnswerBody { frames, _sender: sender }))
    }

    pub(super) fn unreachable(&self, error: &dyn std::error::Error) -> CliError {
        let message = format!("the daemon at {} cannot be asked: {error}", self.name());
        CliError::new(ErrorKind::DaemonUnreachable, message)
            .hint("without --url and --socket the state directory is asked itself")
    }
}

fn no_connection() -> io::Error {
    let text = format!("no connection within {}", human::span(CONNECT_TIME));
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// The body of an answer. The sender is kept until it is whole: a proxy between may take a connection that ends on our
/// side for a client that has left.
pub(super) struct AnswerBody {
    frames: Incoming,
    _sender: http1::SendRequest<Full<Bytes>>,
}

/// What comes of a body, part by part.
pub(super) async fn next_part(target: &Target, body: &mut AnswerBody) -> Result<Option<Bytes>, CliError> {
    match body.frames.frame().await {
        None => Ok(None),
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(e)) => Err(target.unreachable(&e)),
    }
}
