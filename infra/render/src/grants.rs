//! `greenlight grants`: who has access with what.

use greenlight_core::audit::Grant;
use greenlight_core::grant::{Hold, HoldId, HoldState};
use serde_json::{Value, json};

use crate::format::{OutputFormat, lines, moment, table};
use crate::language::Language;
use crate::text;

/// Renders grants; `of` is the search text.
#[must_use]
pub fn render(grants: &[Grant], of: Option<&str>, format: OutputFormat) -> String {
    let OutputFormat::Text(language) = format else {
        return lines(grants.iter().map(|grant| grant_json(grant).to_string()));
    };
    if grants.is_empty() {
        return match of {
            None => language.pick("Nothing is granted.\n", "没有授权记录。\n").to_owned(),
            Some(of) => text!(
                language,
                "Nothing is granted to or because of `{of}`.\n",
                "没有与 `{of}` 有关的授权记录。\n"
            ),
        };
    }
    let rows = |grant: &Grant| {
        let (_, subject) = grant.kind_and_value();
        let row = |(id, hold): (&HoldId, &Hold)| {
            let since = moment(hold.since);
            let until = hold.terms.until.map_or_else(|| "-".to_owned(), moment);
            let state = hold_state(hold.state);
            let state = language.pick(state.0, state.1);
            [subject, &grant.target, state, &since, &until, &hold.terms.owner, id.as_str()]
                .map(str::to_owned)
        };
        grant.holders().into_iter().map(row).collect::<Vec<_>>()
    };
    let rows: Vec<_> = grants.iter().flat_map(rows).collect();
    let heads = match language {
        Language::English => {
            ["SUBJECT", "TARGET", "STATE", "SINCE", "UNTIL", "OWNER", "BECAUSE OF"]
        }
        Language::Chinese => {
            ["授权对象", "目标系统", "状态", "授权时间", "截止时间", "持有人", "依据"]
        }
    };
    table(heads, &rows)
}

/// The state of a hold that is listed: one that ended is listed until the access is removed.
pub(crate) const fn hold_state(state: HoldState) -> (&'static str, &'static str) {
    match state {
        HoldState::Pending => ("pending", "待确认"),
        HoldState::Active => ("active", "有效"),
        HoldState::Ended { .. } => ("to be removed", "待移除"),
    }
}

fn grant_json(grant: &Grant) -> Value {
    let (kind, subject) = grant.kind_and_value();
    let holders = grant.holders();
    let holds = holders.iter().map(|(id, hold)| {
        json!({
            "approval": id.as_str(),
            "state": hold_state(hold.state).0,
            "owner": hold.terms.owner,
            "applicant": hold.terms.applicant,
            "since": moment(hold.since),
            "until": hold.terms.until.map(moment),
        })
    });
    json!({
        "kind": kind,
        "subject": subject,
        "target": grant.target,
        "state": grant.record.phase().as_str(),
        "since": moment(grant.record.since()),
        "holds": holds.collect::<Vec<_>>(),
    })
}
