//! What an answer means for a delivery.

use std::time::Duration;

use crate::state::Timestamp;

/// What is to be done after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It has arrived.
    Delivered,
    /// It may arrive later.
    TryAgain,
    /// It will not arrive until somebody changes something.
    Park,
}

/// What a status code means: 2xx has arrived; 408, 425, 429 and 5xx are tried again; 410, every other
/// 4xx, and redirects, which are not followed, are parked.
#[must_use]
pub fn meaning_of(status: u16) -> Meaning {
    match status {
        200..=299 => Meaning::Delivered,
        408 | 425 | 429 | 500..=599 => Meaning::TryAgain,
        _ => Meaning::Park,
    }
}

/// How long `Retry-After` asks to wait: seconds, or a date of HTTP (RFC 9110, 10.2.3). At least a second
/// and at most `longest`; `None` when it cannot be understood.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp, longest: Duration) -> Option<Duration> {
    let value = value.trim();
    let asked = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        // More digits than a number holds is as long as can be.
        Err(_) if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => Duration::MAX,
        Err(_) => {
            static DATE: jiff::fmt::rfc2822::DateTimeParser =
                jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
            let date = DATE.parse_zoned(value).ok()?;
            let ms = date.timestamp().as_millisecond().saturating_sub(now.as_millis());
            Duration::from_millis(u64::try_from(ms).unwrap_or(0))
        }
    };
    Some(asked.max(Duration::from_secs(1)).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_codes_mean() {
        for (code, meaning) in [
            (200, Meaning::Delivered),
            (204, Meaning::Delivered),
            (301, Meaning::Park),
            (304, Meaning::Park),
            (400, Meaning::Park),
            (404, Meaning::Park),
            (408, Meaning::TryAgain),
            (410, Meaning::Park),
            (425, Meaning::TryAgain),
            (429, Meaning::TryAgain),
            (500, Meaning::TryAgain),
            (599, Meaning::TryAgain),
            (600, Meaning::Park),
        ] {
            assert_eq!(meaning_of(code), meaning, "{code}");
        }
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let now: Timestamp = "1994-11-06T08:48:37.000Z".parse().unwrap();
        let hour = Duration::from_secs(3600);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("99999", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(1)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", Some(3600)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now, hour), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
