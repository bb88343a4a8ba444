//! Callbacks are delivered, parked, retried and discarded, and the delivery log is compacted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use recovery::queue::{Callback, Operation as QueueOperation, Queue};
use recovery::webhooks::record::Operation as Record;
use recovery::webhooks::{AttemptRetention, DeliveryLog, Deriver, Engine, Settings};

use super::stage::actor;
use super::{Operation, Stage, nothing};
use crate::Error;
use crate::facts::Fact;

/// Ends are reported; a delivery that a receiver refuses waits for an operator.
pub(super) const DELIVER: Operation = Operation { name: "deliver", prepare: nothing, run: deliver };

fn deliver(stage: &Stage) -> Result<(), Error> {
    let address = receiver()?;
    let jobs = ["arrives", "refused", "unwanted"];
    for id in jobs {
        let url = format!("http://{address}/{id}");
        stage.submit(Some(id), |request| request.callbacks = vec![Callback::to(&*url)])?;
    }
    let dir = stage.dir()?;
    let mut queue = Queue::open(&dir)?;
    let cancel =
        |id: &str| -> Result<QueueOperation, Error> { Ok(QueueOperation::Cancel { job: id.parse()? }) };
    let all = jobs.iter().map(|id| cancel(id)).collect::<Result<Vec<_>, _>>()?;
    jobs.iter().for_each(|id| stage.acknowledge(Fact::job(id, 1, &["queued", "cancelled"])));
    queue.transact(&actor(), |_| (all, ()))?;
    jobs.iter().for_each(|id| stage.acknowledge(Fact::job(id, 1, &["cancelled"])));
    jobs.iter()
        .for_each(|id| stage.acknowledge(Fact::delivery(id, &["pending", "waiting", "parked", "settled"])));

    let (engine, feed) = Engine::start(&dir, Settings::default(), "laboratory")?;
    let since = engine.endpoints_since();
    let mut deriver = Deriver::new(dir.identity.state_id, &[], &since);
    feed.offer(queue.state().jobs().flat_map(|job| deriver.of_job(job)).collect());
    let done = engine.run(true, &|| false, &mut |_| {})?;
    if (done.delivered, done.parked) != (1, 2) {
        return Err(format!("something else was delivered: {done:?}").into());
    }
    stage.acknowledge(Fact::delivery("arrives", &["settled"]));
    stage.acknowledge(Fact::delivery("refused", &["parked", "waiting"]));
    stage.acknowledge(Fact::delivery("unwanted", &["parked", "settled"]));

    let mut log = DeliveryLog::open(&dir)?;
    let mut id_of = |id: &str| -> Result<_, Error> {
        let job = queue.state().get(&id.parse()?).ok_or("a job is gone")?;
        Ok(deriver.of_job(job).first().ok_or("it has no delivery")?.id)
    };
    let (again, gone) = (id_of("refused")?, id_of("unwanted")?);
    let by = || actor().by;
    let retry = Record::Retry {
        deliveries: vec![again],
        endpoints: vec![format!("http://{address}")],
        by: by(),
        why: None,
    };
    let discard = Record::Discard { deliveries: vec![gone], by: by(), why: None };
    log.append(&[retry, discard], &mut |_| {})?;
    log.commit()?;
    stage.acknowledge(Fact::delivery("refused", &["waiting"]));
    stage.acknowledge(Fact::delivery("unwanted", &["settled"]));
    log.compact(&|_| true, AttemptRetention { keep: Duration::from_secs(60), entries: 10 })?;
    Ok(())
}

/// A receiver in this process: 200 for what arrives, 410 for the rest.
fn receiver() -> Result<std::net::SocketAddr, Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer_all(&stream));
        }
    });
    Ok(address)
}

fn answer_all(stream: &TcpStream) -> std::io::Result<()> {
    let (mut input, mut out) = (BufReader::new(stream), stream);
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            match line.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", n)) => length = n.parse().unwrap_or(0),
                Some(_) => {}
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        let status = if path == "/arrives" { "200 OK" } else { "410 Gone" };
        out.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
    }
}
