//! `greenlight acts`: what operators did.

use std::collections::BTreeMap;

use greenlight_core::act::Act;
use greenlight_core::explain::Explain;
use greenlight_core::ledger::{Effect, EffectKey};
use serde_json::{Value, json};

use crate::format::{OutputFormat, lines, moment, table};
use crate::language::Language;

/// Renders what operators did, the latest first.
#[must_use]
pub fn render_acts(acts: &[Act], format: OutputFormat) -> String {
    let OutputFormat::Text(language) = format else {
        return lines(acts.iter().map(|act| act_json(act).to_string()));
    };
    if acts.is_empty() {
        return language.pick("No act is recorded.\n", "没有操作记录。\n").to_owned();
    }
    let row = |act: &Act| {
        let what = language.explain(&act.what.explain());
        let why = act.why.clone().unwrap_or_else(|| "-".to_owned());
        [moment(act.at), act.who.clone(), what, act.on.clone(), why]
    };
    let rows: Vec<_> = acts.iter().map(row).collect();
    let heads = match language {
        Language::English => ["WHEN", "WHO", "WHAT", "ON", "WHY"],
        Language::Chinese => ["时间", "操作人", "操作", "对象", "原因"],
    };
    table(heads, &rows)
}

pub(crate) fn act_json(act: &Act) -> Value {
    json!({
        "id": act.id,
        "at": moment(act.at),
        "who": act.who,
        "what": act.what.as_str(),
        "on": act.on,
        "why": act.why,
        "effects_before": effects_json(&act.effects),
    })
}

/// Effects that were done.
#[must_use]
pub(crate) fn effects_json(effects: &BTreeMap<EffectKey, Effect>) -> Vec<Value> {
    let effect = |(key, effect): (&EffectKey, &Effect)| {
        json!({
            "effect": key.as_str(),
            "kind": effect.kind.as_str(),
            "outcome": effect.outcome.as_str(),
            "at": moment(effect.at),
        })
    };
    effects.iter().map(effect).collect()
}
