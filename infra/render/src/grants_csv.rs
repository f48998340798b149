//! Grants as CSV, for a spreadsheet.

use greenlight_core::audit::Grant;
use greenlight_core::grant::{Hold, HoldId};

use crate::format::moment;
use crate::grants::hold_state;

/// A row per hold, with a head. The values are those of forms and of office systems: one that a
/// spreadsheet would take for a formula begins with an apostrophe.
#[must_use]
pub fn render(grants: &[Grant]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let heads = [
        "kind",
        "subject",
        "target",
        "state",
        "since",
        "until",
        "owner",
        "applicant",
        "because_of",
    ];
    let rows = grants
        .iter()
        .flat_map(|grant| grant.holders().into_iter().map(move |(id, hold)| row(grant, id, hold)));
    let heads = heads.map(str::to_owned);
    for row in std::iter::once(heads).chain(rows) {
        // Writing to memory does not fail, and all rows have the same length.
        let _ = csv.write_record(&row);
    }
    csv.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn row(grant: &Grant, id: &HoldId, hold: &Hold) -> [String; 9] {
    let (kind, subject) = grant.kind_and_value();
    let (since, until) = (moment(hold.since), hold.terms.until.map(moment).unwrap_or_default());
    let (state, _) = hold_state(hold.state);
    let (owner, applicant) = (&hold.terms.owner, &hold.terms.applicant);
    [kind, subject, &grant.target, state, &since, &until, owner, applicant, id.as_str()]
        .map(defused)
}

/// <https://owasp.org/www-community/attacks/CSV_Injection>
fn defused(value: &str) -> String {
    let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    if is_formula { format!("'{value}") } else { value.to_owned() }
}
