//! The meaning of a receiver's answer for a delivery.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::state::Timestamp;

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The delivery has arrived.
    Delivered,
    /// The delivery may arrive later.
    TryAgain,
    /// The delivery cannot arrive until somebody changes something.
    Park,
}

/// The meaning of a status code: 2xx is delivered; 408, 425, 429 and 5xx are tried again; 410, every other
/// 4xx, and redirects, which are not followed, are parked.
pub(crate) fn meaning_of(status: u16) -> Meaning {
    match status {
        200..=299 => Meaning::Delivered,
        408 | 425 | 429 | 500..=599 => Meaning::TryAgain,
        _ => Meaning::Park,
    }
}

/// Returns how long `Retry-After` asks to wait: seconds, or a date of HTTP in one of its three forms (RFC
/// 9110, 5.6.7 and 10.2.3). The result is at least a second and at most `longest`; `None` when the value
/// cannot be understood.
pub(super) fn retry_after(value: &str, now: Timestamp, longest: Duration) -> Option<Duration> {
    let value = value.trim();
    let asked = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A number with too many digits for its type counts as the longest time.
        Err(_) if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => Duration::MAX,
        Err(_) => {
            let ms = date(value, now)?.saturating_sub(now.as_millis());
            Duration::from_millis(u64::try_from(ms).unwrap_or(0))
        }
    };
    Some(asked.max(Duration::from_secs(1)).min(longest))
}

/// The milliseconds of an HTTP date: in its present form, and in the two obsolete forms that a recipient must
/// accept. The day of the week is ignored.
fn date(value: &str, now: Timestamp) -> Option<i64> {
    static DATE: jiff::fmt::rfc2822::DateTimeParser =
        jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    if let Ok(date) = DATE.parse_zoned(value) {
        return Some(date.timestamp().as_millisecond());
    }
    let (_, rest) = value.split_once([',', ' '])?;
    let civil = |format: &str| DateTime::strptime(format, rest.trim_start()).ok();
    let in_utc = |date: DateTime| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
    if let Some(date) = civil("%b %e %H:%M:%S %Y") {
        return in_utc(date);
    }
    let date = civil("%d-%b-%y %H:%M:%S GMT")?;
    let this_year = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(TimeZone::UTC).year();
    // A year of two digits is at most 50 years ahead, as RFC 9110 demands.
    let ahead = (date.year() - this_year).rem_euclid(100);
    let year = this_year + if ahead > 50 { ahead - 100 } else { ahead };
    in_utc(date.with().year(year).build().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meaning_of_status_codes() {
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
    fn retry_after_forms() {
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
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(60)),
            ("Monday, 06-Nov-94 08:49:37 GMT", Some(60)),
            ("Sunday, 06-Nov-93 08:49:37 GMT", Some(1)),
            // 44 means 2044, fifty years ahead; 45 means 1945, because 2045 would be too far ahead.
            ("Sunday, 06-Nov-44 08:49:37 GMT", Some(3600)),
            ("Tuesday, 06-Nov-45 08:49:37 GMT", Some(1)),
            ("Sun Nov  6 08:49:37 1994", Some(60)),
            ("Sun Nov 16 08:49:37 1994", Some(3600)),
            ("Sun Nov  6 08:00:00 1994", Some(1)),
            ("Sunday, 06-Nov-94 08:49:37 CET", None),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now, hour), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
