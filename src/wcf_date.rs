//! The service's dates, `/Date(335505600000-0400)/`, as calendar days.
//!
//! The number is milliseconds since 1970 in UTC; the offset is the server's own on that date. The
//! day is that of the server's calendar: the instant plus the offset, never the reader's time zone.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate};

/// The calendar day of a `/Date(…)/`.
///
/// `None` for anything else, for a day in year 1, which is .NET's "not set", and for one that Python
/// cannot hold.
pub(crate) fn parse(text: &str) -> Option<NaiveDate> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    // A sign that is not the first character begins the offset.
    let (millis, offset) = match inner.rfind(['+', '-']) {
        Some(at) if at > 0 => (&inner[..at], parse_offset(&inner[at..])?),
        _ => (inner, FixedOffset::east_opt(0)?),
    };
    if !millis.bytes().skip_while(|b| *b == b'-').all(|b| b.is_ascii_digit()) {
        return None;
    }
    let instant = DateTime::from_timestamp_millis(millis.parse().ok()?)?;
    let day = instant.naive_utc().checked_add_offset(offset)?.date();
    (2..=9999).contains(&day.year()).then_some(day)
}

/// `+hhmm` or `-hhmm`.
fn parse_offset(text: &str) -> Option<FixedOffset> {
    let (sign, digits) = text.split_at(1);
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    let seconds = (hours * 60 + minutes) * 60;
    FixedOffset::east_opt(if sign == "-" { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Option<String> {
        parse(text).map(|day| day.to_string())
    }

    #[test]
    fn dates_seen_on_the_wire() {
        for (text, expected) in [
            ("/Date(335505600000-0400)/", Some("1980-08-19")),
            ("/Date(-72000000-0400)/", Some("1969-12-31")),
            ("/Date(335491200000)/", Some("1980-08-19")),
            ("/Date(0+0000)/", Some("1970-01-01")),
            ("/Date(-1+0000)/", Some("1969-12-31")),
            ("/Date(-1+0530)/", Some("1970-01-01")),
            ("/Date(1620000-0427)/", Some("1969-12-31")),
            ("/Date(16020000-0427)/", Some("1970-01-01")),
            ("/Date(-62135580780000-0427)/", None),
            ("/Date(-62135596800000)/", None),
        ] {
            assert_eq!(day(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_date() {
        for text in [
            "",
            "1980-08-19",
            "/Date()/",
            "/Date(-)/",
            "/Date(--5)/",
            "/Date(1",
            "/Date(1)",
            "/Date(1.5)/",
            "/Date(+1)/",
            "/Date(1-04)/",
            "/Date(1-0400",
            "/Date(1-04:00)/",
            "/Date(1-9999)/",
            "/Date(1é)/",
            "/Date(99999999999999999999)/",
            "/Date(9223372036854775807+0000)/",
            "/Date(-9223372036854775808)/",
            "/Date(253402300800000)/",
            "/date(0)/",
            " /Date(0)/",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
    }

    fn write(day: NaiveDate, minute_of_day: i64, offset_minutes: i32) -> String {
        let midnight = day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp_millis();
        let millis = midnight + (minute_of_day - i64::from(offset_minutes)) * 60_000;
        let sign = if offset_minutes < 0 { '-' } else { '+' };
        let minutes = offset_minutes.abs();
        format!("/Date({millis}{sign}{:02}{:02})/", minutes / 60, minutes % 60)
    }

    #[test]
    fn every_day_of_the_range_at_the_servers_offsets() {
        let mut day = NaiveDate::from_ymd_opt(1753, 1, 1).unwrap();
        while day.year() < 2100 {
            for offset in [-300, -240, -267, -270, 0, 330] {
                assert_eq!(parse(&write(day, 0, offset)), Some(day));
            }
            day = day.succ_opt().unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_instant_of_a_day_is_that_day(
            days in 366i32..3_652_059, minute in 0i64..1440, offset in -1439i32..1440,
        ) {
            let day = NaiveDate::from_num_days_from_ce_opt(days).unwrap();
            prop_assert_eq!(parse(&write(day, minute, offset)), Some(day));
        }

        #[test]
        fn no_text_panics(text in ".*", inner in "[-+0-9]{0,30}") {
            parse(&text);
            parse(&format!("/Date({inner})/"));
        }
    }
}
