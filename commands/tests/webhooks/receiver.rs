//! A real HTTP server on this machine, whose answers a test decides.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Request {
    pub fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Status(u16),
    With(u16, &'static str, String),
    /// Nothing, until the other side gives up.
    Hang,
    /// Nothing; the connection is closed.
    Close,
    /// 200 and a body of so many bytes.
    Long(u64),
}

type Decide = dyn Fn(&Request) -> Reply + Send + Sync;

/// The server. It ends with the test.
pub struct Receiver {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    tls: bool,
}

impl Receiver {
    /// Answers 200 to all.
    pub fn kind() -> Receiver {
        Receiver::start(|_| Reply::Status(200))
    }

    pub fn start(decide: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Receiver {
        Receiver::on("127.0.0.1".parse().unwrap(), None, decide).unwrap()
    }

    /// With a certificate that signed itself.
    pub fn with_tls(decide: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Receiver {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let folder = fixtures();
        let certificate = CertificateDer::from_pem_file(folder.join("localhost.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("localhost.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Receiver::on("127.0.0.1".parse().unwrap(), Some(Arc::new(config)), decide).unwrap()
    }

    /// On an address of this machine, if it has it.
    pub fn on(
        ip: IpAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        decide: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> std::io::Result<Receiver> {
        let listener = TcpListener::bind((ip, 0))?;
        let address = listener.local_addr()?;
        let (requests, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let is_tls = tls.is_some();
        let decide: Arc<Decide> = Arc::new(decide);
        let (kept, ended) = (requests.clone(), over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let (kept, decide, tls) = (kept.clone(), decide.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => drop(talk(&stream, &stream, &kept, &*decide)),
                    Some(config) => drop(talk_tls(stream, config, &kept, &*decide)),
                });
            }
        });
        Ok(Receiver { address, requests, over, tls: is_tls })
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The requests of each delivery, by its id.
    pub fn by_id(&self) -> BTreeMap<String, Vec<Request>> {
        let mut found: BTreeMap<String, Vec<Request>> = BTreeMap::new();
        for request in self.requests() {
            found.entry(request.id().to_owned()).or_default().push(request);
        }
        found
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address); // So that it looks up from waiting.
    }
}

pub fn fixtures() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tls")
}

fn talk_tls(
    mut stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    kept: &Mutex<Vec<Request>>,
    decide: &Decide,
) -> std::io::Result<()> {
    let mut connection = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    let Some(request) = read_request(&mut BufReader::new(&mut tls))? else { return Ok(()) };
    let reply = decide(&request);
    kept.lock().unwrap().push(request);
    answer(&mut tls, &reply, true)
}

fn talk(
    stream: &TcpStream,
    mut out: &TcpStream,
    kept: &Mutex<Vec<Request>>,
    decide: &Decide,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    while let Some(request) = read_request(&mut input)? {
        let reply = decide(&request);
        kept.lock().unwrap().push(request);
        match reply {
            Reply::Close => return Ok(()),
            Reply::Hang => {
                // Until the other side closes.
                let _ = input.read(&mut [0])?;
                return Ok(());
            }
            reply => answer(&mut out, &reply, false)?,
        }
    }
    Ok(())
}

fn read_request(input: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let length = headers.get("content-length").map_or(0, |l| l.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(Some(Request { method, path, headers, body, at: Instant::now() }))
}

fn answer(out: &mut impl Write, reply: &Reply, close: bool) -> std::io::Result<()> {
    let (status, header, length) = match reply {
        Reply::Status(status) => (*status, String::new(), 0),
        Reply::With(status, name, value) => (*status, format!("{name}: {value}\r\n"), 0),
        Reply::Long(length) => (200, String::new(), *length),
        Reply::Hang | Reply::Close => return Ok(()),
    };
    let close = if close { "connection: close\r\n" } else { "" };
    let head = format!("HTTP/1.1 {status} Answer\r\ncontent-length: {length}\r\n{header}{close}\r\n");
    out.write_all(head.as_bytes())?;
    let piece = vec![b'x'; 1 << 16];
    let mut left = length;
    while left > 0 {
        let n = left.min(piece.len() as u64);
        out.write_all(&piece[..usize::try_from(n).unwrap()])?;
        left -= n;
    }
    out.flush()
}
