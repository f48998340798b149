//! The ledger of one machine: the state machine itself, inside a transaction.

use futures_util::FutureExt;
use greenlight_core::audit::{AttemptRecord, LastFailure, Subject};
use greenlight_core::ledger::{
    ClaimError, Claimed, Command, CommandResult, Completion, Effect, EffectKey, Lease, LeaseId,
    LeaseLost, REMEMBERED_FOR, Record, apply,
};
use greenlight_core::ports::{Claim, Complete, LedgerError, RecordEffect};
use greenlight_core::{Reason, Request, RequestKey, Timestamp};
use sqlx::SqliteConnection;

use super::{Database, attempt_records, failed};

/// What else is written in the same transaction.
#[derive(Default)]
struct With {
    /// The request, where the command has it whole.
    request: Option<Request>,
    /// What the attempt found out.
    attempt_record: Option<AttemptRecord>,
    /// What went wrong in it.
    reason: Option<Reason>,
    /// Whether its event id is filed as processed.
    event: bool,
}

impl Database {
    async fn run(
        &self,
        key: &RequestKey,
        command: Command,
        with: With,
        now: Timestamp,
    ) -> Result<CommandResult, LedgerError> {
        let key = key.clone();
        self.group_commit
            .write(move |connection| {
                async move { carry_out(connection, &key, command, &with, now).await }.boxed()
            })
            .await
    }
}

async fn carry_out(
    connection: &mut SqliteConnection,
    key: &RequestKey,
    command: Command,
    with: &With,
    now: Timestamp,
) -> Result<CommandResult, LedgerError> {
    let json: Option<String> = sqlx::query_scalar("SELECT record FROM requests WHERE key = ?")
        .bind(key.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    let record: Option<Record> =
        json.map(|json| serde_json::from_str(&json)).transpose().map_err(failed)?;
    let (record, answer) = apply(record, command, now);
    let is_changed = matches!(answer, CommandResult::Claim(Ok(_)) | CommandResult::Write(Ok(())));
    if let Some(record) = record.filter(|_| is_changed) {
        save(connection, key, &record, with, now).await?;
        if let Some(request) = with.request.as_ref().filter(|_| with.event) {
            file_event(connection, request, now).await?;
        }
        if let (Some(request), Some(attempt_record)) = (&with.request, &with.attempt_record) {
            attempt_records::file(connection, request, attempt_record).await?;
        }
    }
    Ok(answer)
}

async fn save(
    connection: &mut SqliteConnection,
    key: &RequestKey,
    record: &Record,
    with: &With,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let last_failure = with.reason.as_ref().map(|reason| LastFailure {
        class: reason.class.as_str().to_owned(),
        reason: reason.text.clone(),
        target: reason.target.clone(),
        at: now,
    });
    let last_failure =
        last_failure.map(|last_failure| serde_json::to_string(&last_failure)).transpose();
    // Before the source was asked nothing of it is known, and what was known stays.
    let found =
        with.attempt_record.as_ref().filter(|attempt_record| !attempt_record.applicant.is_empty());
    sqlx::query(
        "INSERT INTO requests (key, record, definition_id, event_id, expires_at, received_at, first_claimed_at)
         VALUES (?1, ?2, coalesce(?3, ''), coalesce(?4, ''), ?5, ?6, ?7)
         ON CONFLICT (key) DO UPDATE SET record = ?2, definition_id = coalesce(?3, definition_id),
             event_id = coalesce(?4, event_id), expires_at = ?5, received_at = coalesce(received_at, ?6),
             first_claimed_at = coalesce(first_claimed_at, ?7), last_failure = coalesce(?8, last_failure),
             flow = coalesce(?9, flow), applicant = coalesce(?10, applicant),
             form_number = coalesce(?11, form_number)",
    )
    .bind(key.as_str())
    .bind(serde_json::to_string(record).map_err(failed)?)
    .bind(with.request.as_ref().map(|request| &request.definition_id))
    .bind(with.request.as_ref().map(|request| &request.event_id))
    .bind(now.plus(REMEMBERED_FOR).as_millis())
    .bind(with.request.as_ref().map(|request| request.received_at.as_millis()))
    .bind(now.as_millis())
    .bind(last_failure.map_err(failed)?)
    .bind(found.map(|attempt_record| &attempt_record.flow))
    .bind(found.map(|attempt_record| &attempt_record.applicant))
    .bind(found.map(|attempt_record| &attempt_record.form_number))
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

async fn file_event(
    connection: &mut SqliteConnection,
    request: &Request,
    now: Timestamp,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO events (key, request, processed_at, expires_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET processed_at = excluded.processed_at, expires_at = excluded.expires_at",
    )
    .bind(format!("{}#{}#{}", request.source, request.tenant, request.event_id))
    .bind(request.key().as_str())
    .bind(now.as_millis())
    .bind(now.plus(REMEMBERED_FOR).as_millis())
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

impl Claim for Database {
    async fn claim(
        &self,
        request: &Request,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<Result<Claimed, ClaimError>, LedgerError> {
        let with = With { request: Some(request.clone()), ..With::default() };
        match self.run(&request.key(), Command::Claim(lease.clone()), with, now).await? {
            CommandResult::Claim(answer) => Ok(answer),
            CommandResult::Write(_) => Err(failed("a claim is answered as one")),
        }
    }
}

impl RecordEffect for Database {
    async fn record_effect(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        key: &EffectKey,
        effect: Effect,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let command = Command::RecordEffect(lease_id.clone(), key.clone(), effect);
        write_answer(&self.run(request, command, With::default(), now).await?)
    }
}

impl Complete for Database {
    async fn complete(
        &self,
        request: &Request,
        lease_id: &LeaseId,
        completion: &Completion,
        attempt_record: Option<&AttemptRecord>,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let command = Command::Complete(lease_id.clone(), completion.clone());
        let event = completion.is_final();
        let reason = completion.failure().map(|(reason, _)| reason.clone());
        let (request_of, attempt_record) = (Some(request.clone()), attempt_record.cloned());
        let with = With { request: request_of, attempt_record, reason, event };
        write_answer(&self.run(&request.key(), command, with, now).await?)
    }

    async fn file_event(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        let request = request.clone();
        self.group_commit
            .write(move |connection| {
                async move {
                    file_event(connection, &request, now).await?;
                    let event = Subject::Event(request.event_id.clone());
                    attempt_records::file_under(connection, &event, &request).await
                }
                .boxed()
            })
            .await
    }
}

fn write_answer(answer: &CommandResult) -> Result<Result<(), LeaseLost>, LedgerError> {
    match answer {
        CommandResult::Write(answer) => Ok(*answer),
        CommandResult::Claim(_) => Err(failed("a write is answered as one")),
    }
}
