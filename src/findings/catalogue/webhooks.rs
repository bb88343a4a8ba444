//! Findings about deliveries.

use super::{Entry, Severity};

/// A delivery waits for an operator.
pub const WEBHOOK_PARKED: Entry = Entry {
    code: "webhook-parked",
    severity: Severity::Warning,
    title: "A delivery is parked",
    meaning: "The receiver refused it for good (410, or another 4xx but 408, 425 and 429; a redirect), or it \
              was tried as often as configured.",
    done: "It is kept, with its id, and is not tried again by itself.",
    advice: "See why with `recoveryctl webhooks log`, mend the receiver, then have it tried again; or give it \
             up with `recoveryctl webhooks discard`.",
    next: Some("recoveryctl retry webhook {name}"),
};

/// The address of a delivery must not be called.
pub const WEBHOOK_REFUSED: Entry = Entry {
    code: "webhook-refused",
    severity: Severity::Warning,
    title: "A delivery's address must not be called",
    meaning: "The address, or one of those that its name has, is denied: by webhooks.deny, because \
              webhooks.allow does not have it, or because it is a link-local or metadata address.",
    done: "Nothing was sent. The delivery is parked.",
    advice: "If the address is right, enter it in webhooks.allow, then have the delivery tried again. If it is \
             not, give the delivery up, and find out who submitted the job.",
    next: Some("recoveryctl webhooks discard {name}"),
};

/// Nothing is sent to an endpoint for a while.
pub const WEBHOOK_CIRCUIT_OPEN: Entry = Entry {
    code: "webhook-circuit-open",
    severity: Severity::Warning,
    title: "An endpoint does not answer",
    meaning: "So many attempts in a row failed that the endpoint counts as dead.",
    done: "It is probed by one attempt at a time, with growing pauses. Its deliveries wait; those of other \
           endpoints go on.",
    advice: "Mend the receiver. Its deliveries then go out by themselves.",
    next: Some("recoveryctl webhooks pending"),
};

/// An attempt was under way when its sender died.
pub const WEBHOOK_INTERRUPTED: Entry = Entry {
    code: "webhook-interrupted",
    severity: Severity::Info,
    title: "A delivery was under way in a crash",
    meaning: "An attempt had begun and its end is not known: the receiver may have got it.",
    done: "The delivery is pending again, with the same id, by which the receiver can tell the double.",
    advice: "Nothing, if the receiver drops what it has seen already.",
    next: None,
};

/// The delivery log is damaged.
pub const WEBHOOK_LOG_DAMAGED: Entry = Entry {
    code: "webhook-log-damaged",
    severity: Severity::Warning,
    title: "The delivery log is damaged",
    meaning: "Records of what was tried do not match their checksums, or are missing. What there is to \
              deliver is not lost: it follows from the queue.",
    done: "When it is mended, the damaged bytes are kept in quarantine and the log is written anew without them. \
           What is not known to have arrived is delivered again, with the same id.",
    advice: "Check the disk. A recovery mends the log, or a repair. Receivers may see deliveries twice.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};

/// A record of the delivery log had no effect.
pub const WEBHOOK_RECORD_REFUSED: Entry = Entry {
    code: "webhook-record-refused",
    severity: Severity::Info,
    title: "A record of the delivery log had no effect",
    meaning: "The record is whole, but does not fit what is before it, or this version does not know it.",
    done: "It was passed over. While there are records that this version does not know, the log is not shortened.",
    advice: "If the log is damaged as well, that is why; otherwise a later version has written it.",
    next: Some("recoveryctl webhooks log"),
};

/// Deliveries wait, and no process delivers them.
pub const WEBHOOK_NOBODY_DELIVERS: Entry = Entry {
    code: "webhook-nobody-delivers",
    severity: Severity::Warning,
    title: "Deliveries wait and no process delivers",
    meaning: "Jobs have ended whose callbacks are due, and no daemon runs.",
    done: "They are kept until somebody delivers.",
    advice: "Start the daemon, or deliver from cron.",
    next: Some("recoveryctl webhooks deliver --once"),
};
