//! The page itself: what is on it, and its rendering.

use std::collections::BTreeMap;

use greenlight_admin::audit::{Related, find_grants, find_related};
use greenlight_admin::dead_letters::look;
use greenlight_admin::status::SystemStatus;
use greenlight_admin::stores::Stores;
use greenlight_core::audit::{Grant, Lookup, RequestHistory, RequestStatus, StoredDeadLetter};
use greenlight_core::breaker::Breaker;
use greenlight_core::explain::Explain;
use greenlight_core::grant::{Hold, HoldId};
use greenlight_core::operator::StoreError;
use greenlight_core::{Request, Timestamp};
use greenlight_render::audit::steps;
use greenlight_render::format::moment;
use greenlight_render::language::Language;
use greenlight_render::reasons::next_step;
use greenlight_render::status::to_text;
use greenlight_stores::SystemClock;
use minijinja::Environment;
use serde::Serialize;
use thiserror::Error;

use crate::token::Token;
use crate::words::{status, words};

/// The maximum number of requests, and of grants, on the page.
const ROWS: usize = 50;

/// The page cannot be shown.
#[derive(Debug, Error, Explain)]
#[explain("page")]
pub(crate) enum PageError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the page cannot be rendered: {0}")]
    Render(#[from] minijinja::Error),
}

/// The content of the page.
pub(crate) struct Page {
    wanted: String,
    now: Timestamp,
    status: SystemStatus,
    found: Option<Vec<RequestHistory>>,
    /// What operators did about these.
    related: Related,
    recent: Vec<RequestHistory>,
    letters: Vec<StoredDeadLetter>,
    /// Dead letters that another receiver holds.
    elsewhere: usize,
    grants: Vec<Grant>,
}

#[derive(Serialize)]
struct RequestRow {
    instance: String,
    applicant: String,
    status: &'static str,
    class: &'static str,
    attempts: u32,
    since: String,
    steps: Vec<(String, String)>,
}

#[derive(Serialize)]
struct LetterRow {
    id: String,
    instance: String,
    class: String,
    reason: String,
    next: &'static str,
    at: String,
}

#[derive(Serialize)]
struct GrantRow {
    subject: String,
    target: String,
    since: String,
    owner: String,
    instance: String,
}

#[derive(Serialize)]
struct TargetRow {
    name: String,
    is_open: bool,
    breaker: String,
}

/// The values for the template.
#[derive(Serialize)]
struct View<'a> {
    lang: &'static str,
    other: &'static str,
    done: Option<&'static str>,
    /// The texts in the language of the page.
    w: &'a BTreeMap<&'static str, &'static str>,
    form_token: String,
    wanted: &'a str,
    waiting: u64,
    in_flight: u64,
    dead_letters: u64,
    last_hour: u64,
    open: usize,
    found: Option<Vec<RequestRow>>,
    recent: Vec<RequestRow>,
    letters: Vec<LetterRow>,
    elsewhere: usize,
    grants: Vec<GrantRow>,
    targets: Vec<TargetRow>,
}

impl Page {
    /// Reads everything that is on the page; `wanted` filters requests and grants.
    pub(crate) async fn of(
        stores: &Stores,
        wanted: &str,
        now: Timestamp,
    ) -> Result<Self, PageError> {
        let wanted = wanted.trim();
        let of = Some(wanted).filter(|wanted| !wanted.is_empty());
        let found = match of {
            None => None,
            Some(wanted) => Some(stores.audit.find_requests(&Lookup::guess(wanted), ROWS).await?),
        };
        let recent = stores.audit.recent_requests(ROWS, now).await?;
        let shown: Vec<_> = found.iter().flatten().chain(&recent).cloned().collect();
        let related = find_related(stores, wanted, &shown).await?;
        let seen = look(&*stores.dead_letters, &SystemClock).await?;
        Ok(Self {
            wanted: wanted.to_owned(),
            now,
            status: stores.status(now).await?,
            found,
            recent,
            related,
            letters: seen.letters,
            elsewhere: seen.elsewhere.map_or(0, |elsewhere| elsewhere.count),
            grants: find_grants(&*stores.grants, of, ROWS).await?,
        })
    }

    pub(crate) fn render(
        &self,
        language: Language,
        form_token: &Token,
        done: Option<&str>,
    ) -> Result<String, PageError> {
        let words = words(language);
        let history = |history: &RequestHistory| self.history(history, language);
        let count = |status| self.status.last_hour.get(&status).copied().unwrap_or(0);
        let targets = self.targets(language);
        let view = View {
            lang: language.code(),
            other: if language == Language::English { "zh" } else { "en" },
            done: done.and_then(|done| words.get(done).copied()),
            w: &words,
            form_token: form_token.to_string(),
            wanted: &self.wanted,
            waiting: self.status.queue.waiting,
            in_flight: self.status.queue.in_flight,
            dead_letters: self.status.queue.dead_letters,
            last_hour: RequestStatus::ALL.map(count).iter().sum(),
            open: targets.iter().filter(|target| target.is_open).count(),
            found: self.found.as_ref().map(|found| found.iter().map(history).collect()),
            recent: self.recent.iter().map(history).collect(),
            letters: self.letters.iter().map(|it| letter(it, language)).collect(),
            elsewhere: self.elsewhere,
            grants: self.grants.iter().flat_map(grant).collect(),
            targets,
        };
        render(include_str!("page.html"), view)
    }

    fn targets(&self, language: Language) -> Vec<TargetRow> {
        let breakers = self.status.breakers.iter();
        let target = |(name, breaker): (&String, &Breaker)| TargetRow {
            name: name.clone(),
            is_open: breaker.is_open(self.now),
            breaker: to_text(breaker, self.now, language),
        };
        breakers.map(target).collect()
    }

    fn history(&self, history: &RequestHistory, language: Language) -> RequestRow {
        let of_now = history.status(self.now);
        let step = |(at, step): (Option<Timestamp>, String)| {
            (at.map_or_else(|| language.pick("now", "现在").to_owned(), moment), step)
        };
        RequestRow {
            instance: history.instance_id().to_owned(),
            applicant: history.applicant.clone().unwrap_or_default(),
            status: status(of_now, language),
            class: of_now.as_str(),
            attempts: history.attempt,
            since: history.received_at.map_or_else(String::new, moment),
            steps: steps(history, &self.related, self.now, language)
                .into_iter()
                .map(step)
                .collect(),
        }
    }
}

/// The page for those who have no session.
pub(crate) fn login(language: Language) -> Result<String, PageError> {
    #[derive(Serialize)]
    struct Login {
        lang: &'static str,
        w: BTreeMap<&'static str, &'static str>,
    }
    render(include_str!("login.html"), Login { lang: language.code(), w: words(language) })
}

fn render(template: &str, values: impl Serialize) -> Result<String, PageError> {
    let mut templates = Environment::new();
    templates.add_template("page.html", template)?;
    Ok(templates.get_template("page.html")?.render(minijinja::value::Serde(values))?)
}

fn letter(letter: &StoredDeadLetter, language: Language) -> LetterRow {
    let last_failure = letter.last_failure.as_ref();
    let instance = Request::parse(&letter.body).map(|request| request.instance_id);
    LetterRow {
        id: letter.id.clone(),
        instance: instance.unwrap_or_else(|_| "?".to_owned()),
        class: letter.class().to_owned(),
        reason: last_failure.map_or_else(String::new, |it| language.explain(&it.cause)),
        next: next_step(letter.class(), language),
        at: last_failure.map_or_else(String::new, |last_failure| moment(last_failure.at)),
    }
}

/// A row per hold.
fn grant(grant: &Grant) -> Vec<GrantRow> {
    let row = |(id, hold): (&HoldId, &Hold)| GrantRow {
        subject: grant.kind_and_value().1.to_owned(),
        target: grant.target.clone(),
        since: moment(hold.since),
        owner: hold.terms.owner.clone(),
        instance: id.instance_id().to_owned(),
    };
    grant.holders().into_iter().map(row).collect()
}
