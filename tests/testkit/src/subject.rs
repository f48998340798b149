//! Subjects and calls for tests, and a kind of subject that greenlight does not have.

use greenlight_core::Timestamp;
use greenlight_core::explain::Explanation;
use greenlight_core::ports::Call;
use greenlight_core::subject::{Found, MAC, Subject, SubjectKind};
use serde_json::{Map, Value};

/// The device with this address.
pub fn device(address: &str) -> Subject {
    Subject::parse(&MAC, address).unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// The documentation address with this last octet (RFC 9542, section 2.1.4).
pub fn device_number(last: u8) -> Subject {
    device(&format!("00:00:5e:00:53:{last:02x}"))
}

/// The last octet of a device; 0 for no subject.
pub fn number_of(subject: Option<&Subject>) -> u8 {
    let last = subject.and_then(|subject| subject.value().rsplit(':').next());
    last.map_or(0, |last| u8::from_str_radix(last, 16).expect("a MAC address"))
}

/// The kind `badge`, which only tests have: no suite may depend on the kinds that are built in.
pub const BADGE: Badge = Badge;

/// See [`BADGE`]. Canonical: `B/` and six digits; typed with or without `B/`, in upper or lower
/// case.
#[derive(Debug)]
pub struct Badge;

impl SubjectKind for Badge {
    fn name(&self) -> &'static str {
        "badge"
    }

    fn example(&self) -> &'static str {
        "B/004711"
    }

    fn parse(&self, text: &str) -> Result<String, Explanation> {
        let digits = text.trim().trim_start_matches(['b', 'B']).trim_start_matches('/');
        let is_number =
            (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if is_number {
            Ok(format!("B/{digits:0>6}"))
        } else {
            Err(Explanation::quoted("this is not the number of a badge"))
        }
    }

    fn read(&self, text: &str, most: usize) -> Vec<Found> {
        let words = text.split_inclusive(char::is_whitespace).scan(1, |position, word| {
            let start = *position;
            *position += word.chars().count();
            Some((start, word.trim()))
        });
        let words = words.filter(|(_, word)| word.bytes().any(|byte| byte.is_ascii_digit()));
        let found = |(position, word)| Found { position, value: self.parse(word) };
        words.take(most).map(found).collect()
    }

    fn masked(&self, value: &str) -> String {
        format!("B/****{}", &value[value.len().saturating_sub(2)..])
    }
}

/// A call for the request of the instance `I-1`.
pub fn call<'a>(
    target: &'a str,
    operation: &'a str,
    subject: Option<&'a Subject>,
    variables: &'a Map<String, Value>,
    deadline: Timestamp,
) -> Call<'a> {
    Call {
        job: "feishu#A#I-1#approved",
        target,
        operation,
        subject,
        variables,
        trace_id: None,
        deadline,
    }
}
