//! The ledger in SQLite: runs the state machine inside a transaction.

use futures_util::FutureExt;
use greenlight_core::audit::{AttemptRecord, LastFailure, Lookup};
use greenlight_core::explain::Explanation;
use greenlight_core::lease::{Lease, LeaseId, LeaseLost};
use greenlight_core::ledger::{
    ClaimError, Claimed, Command, CommandResult, Completion, Effect, EffectKey, Record, ResetError,
    apply,
};
use greenlight_core::ports::{Claim, Complete, FileAudit, LedgerError, RecordEffect, ResetRequest};
use greenlight_core::{Reason, Request, RequestKey, Timestamp};
use sqlx::SqliteConnection;

use super::{Database, attempt_records, failed};

/// Further columns of the request's row.
#[derive(Default)]
struct Columns {
    /// The request, if the command contains it.
    request: Option<Request>,
    /// The failure of the attempt.
    reason: Option<Reason>,
}

/// Now, and when what is written now expires.
#[derive(Clone, Copy)]
struct Moments {
    now: Timestamp,
    expires_at: Timestamp,
}

impl Database {
    fn moments(&self, now: Timestamp) -> Moments {
        Moments { now, expires_at: now.plus(self.retention) }
    }

    async fn run(
        &self,
        key: &RequestKey,
        command: Command,
        columns: Columns,
        now: Timestamp,
    ) -> Result<CommandResult, LedgerError> {
        let (key, moments) = (key.clone(), self.moments(now));
        self.group_commit
            .write(move |connection| {
                async move { carry_out(connection, &key, command, &columns, moments).await }.boxed()
            })
            .await
    }
}

async fn carry_out(
    connection: &mut SqliteConnection,
    key: &RequestKey,
    command: Command,
    columns: &Columns,
    moments: Moments,
) -> Result<CommandResult, LedgerError> {
    let json: Option<String> = sqlx::query_scalar("SELECT record FROM requests WHERE key = ?")
        .bind(key.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    let record: Option<Record> =
        json.map(|json| serde_json::from_str(&json)).transpose().map_err(failed)?;
    let (record, answer) = apply(record, command, moments.now);
    let is_changed = matches!(
        answer,
        CommandResult::Claim(Ok(_)) | CommandResult::Write(Ok(())) | CommandResult::Reset(Ok(()))
    );
    if let Some(record) = record.filter(|_| is_changed) {
        save(connection, key, &record, columns, moments).await?;
    }
    Ok(answer)
}

async fn save(
    connection: &mut SqliteConnection,
    key: &RequestKey,
    record: &Record,
    columns: &Columns,
    Moments { now, expires_at }: Moments,
) -> Result<(), LedgerError> {
    let last_failure = columns.reason.as_ref().map(|reason| LastFailure {
        class: reason.class.as_str().to_owned(),
        cause: reason.cause.clone(),
        target: reason.target.clone(),
        at: now,
    });
    let last_failure =
        last_failure.map(|last_failure| serde_json::to_string(&last_failure)).transpose();
    let request = columns.request.as_ref();
    sqlx::query(
        "INSERT INTO requests (key, record, definition_id, event_id, expires_at, received_at, first_claimed_at)
         VALUES (?1, ?2, coalesce(?3, ''), coalesce(?4, ''), ?5, ?6, ?7)
         ON CONFLICT (key) DO UPDATE SET record = ?2, definition_id = coalesce(?3, definition_id),
             event_id = coalesce(?4, event_id), expires_at = ?5, received_at = coalesce(received_at, ?6),
             first_claimed_at = coalesce(first_claimed_at, ?7), last_failure = coalesce(?8, last_failure)",
    )
    .bind(key.as_str())
    .bind(serde_json::to_string(record).map_err(failed)?)
    .bind(request.map(|request| &request.definition_id))
    .bind(request.map(|request| &request.event_id))
    .bind(expires_at.as_millis())
    .bind(request.map(|request| request.received_at.as_millis()))
    .bind(now.as_millis())
    .bind(last_failure.map_err(failed)?)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Adds the source's data to the request. An attempt that ended before reading it leaves earlier
/// data unchanged.
async fn describe_request(
    connection: &mut SqliteConnection,
    request: &RequestKey,
    record: &AttemptRecord,
) -> Result<(), LedgerError> {
    if !record.is_read {
        return Ok(());
    }
    sqlx::query("UPDATE requests SET flow = ?, applicant = ?, form_number = ? WHERE key = ?")
        .bind(&record.flow)
        .bind(&record.applicant)
        .bind(&record.form_number)
        .bind(request.as_str())
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

async fn file_event(
    connection: &mut SqliteConnection,
    request: &Request,
    Moments { now, expires_at }: Moments,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO events (key, request, processed_at, expires_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET processed_at = excluded.processed_at, expires_at = excluded.expires_at",
    )
    .bind(format!("{}#{}#{}", request.source, request.tenant, request.event_id))
    .bind(request.key().as_str())
    .bind(now.as_millis())
    .bind(expires_at.as_millis())
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
        let columns = Columns { request: Some(request.clone()), ..Columns::default() };
        match self.run(&request.key(), Command::Claim(lease.clone()), columns, now).await? {
            CommandResult::Claim(answer) => Ok(answer),
            other => Err(unexpected(&other)),
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
        match self.run(request, command, Columns::default(), now).await? {
            CommandResult::Write(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }
}

impl Complete for Database {
    async fn complete(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        completion: &Completion,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let command = Command::Complete(lease_id.clone(), completion.clone());
        let reason = completion.failure().map(|(reason, _)| reason.clone());
        let columns = Columns { reason, ..Columns::default() };
        match self.run(request, command, columns, now).await? {
            CommandResult::Write(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }
}

impl ResetRequest for Database {
    async fn reset_request(
        &self,
        request: &RequestKey,
        attempt: u32,
        now: Timestamp,
    ) -> Result<Result<(), ResetError>, LedgerError> {
        match self.run(request, Command::Reset { attempt }, Columns::default(), now).await? {
            CommandResult::Reset(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }
}

impl FileAudit for Database {
    async fn file_attempt(
        &self,
        request: &Request,
        _: &Completion,
        record: Option<&AttemptRecord>,
        _: Timestamp,
    ) -> Result<(), LedgerError> {
        let Some(record) = record.cloned() else { return Ok(()) };
        let request = request.clone();
        self.group_commit
            .write(move |connection| {
                async move {
                    attempt_records::file(connection, &request, &record).await?;
                    describe_request(connection, &request.key(), &record).await
                }
                .boxed()
            })
            .await
    }

    async fn file_event(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        let (request, moments) = (request.clone(), self.moments(now));
        self.group_commit
            .write(move |connection| {
                async move {
                    file_event(connection, &request, moments).await?;
                    let event = Lookup::event(&request.event_id);
                    attempt_records::file_under(connection, &event, &request).await
                }
                .boxed()
            })
            .await
    }
}

fn unexpected(answer: &CommandResult) -> LedgerError {
    let text = format!("the state machine answered another command: {answer:?}");
    LedgerError(Explanation::quoted(text))
}
