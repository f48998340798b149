//! The ledger of one machine: the state machine itself, inside a transaction.

use greenlight_core::ledger::{
    Answer, Command, Effect, EffectKey, Lease, LeaseLost, Owner, REMEMBERED_FOR, Record, Refused,
    Settlement, Taken, apply,
};
use greenlight_core::ports::{Claim, LedgerError, RecordEffect, Settle};
use greenlight_core::{Request, RequestKey, Timestamp};
use sqlx::SqliteConnection;

use super::Database;

pub(super) fn failed(error: impl std::fmt::Display) -> LedgerError {
    LedgerError(error.to_string())
}

/// What else is written in the same transaction.
struct With<'a> {
    /// The request, where the command has it whole.
    request: Option<&'a Request>,
    /// Whether its event id is filed as processed.
    event: bool,
}

impl Database {
    async fn run(
        &self,
        key: &RequestKey,
        command: Command,
        with: With<'_>,
        now: Timestamp,
    ) -> Result<Answer, LedgerError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let json: Option<String> = sqlx::query_scalar("SELECT record FROM requests WHERE key = ?")
            .bind(key.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        let record: Option<Record> =
            json.map(|json| serde_json::from_str(&json)).transpose().map_err(failed)?;
        let (record, answer) = apply(record, command, now);
        let is_changed = matches!(answer, Answer::Claim(Ok(_)) | Answer::Write(Ok(())));
        if let Some(record) = record.filter(|_| is_changed) {
            save(&mut transaction, key, &record, with.request, now).await?;
            if let Some(request) = with.request.filter(|_| with.event) {
                file_event(&mut transaction, request, now).await?;
            }
        }
        transaction.commit().await.map_err(failed)?;
        Ok(answer)
    }
}

async fn save(
    connection: &mut SqliteConnection,
    key: &RequestKey,
    record: &Record,
    request: Option<&Request>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let (approval_code, event_id) =
        request.map(|request| (&request.approval_code, &request.event_id)).unzip();
    sqlx::query(
        "INSERT INTO requests (key, record, approval_code, event_id, expires_at)
         VALUES (?1, ?2, coalesce(?3, ''), coalesce(?4, ''), ?5)
         ON CONFLICT (key) DO UPDATE SET record = ?2, approval_code = coalesce(?3, approval_code),
             event_id = coalesce(?4, event_id), expires_at = ?5",
    )
    .bind(key.as_str())
    .bind(serde_json::to_string(record).map_err(failed)?)
    .bind(approval_code)
    .bind(event_id)
    .bind(now.plus(REMEMBERED_FOR).as_millis())
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
    ) -> Result<Result<Taken, Refused>, LedgerError> {
        let with = With { request: Some(request), event: false };
        match self.run(&request.key(), Command::Claim(lease.clone()), with, now).await? {
            Answer::Claim(answer) => Ok(answer),
            Answer::Write(_) => Err(failed("a claim is answered as one")),
        }
    }
}

impl RecordEffect for Database {
    async fn record_effect(
        &self,
        request: &RequestKey,
        owner: &Owner,
        key: &EffectKey,
        effect: Effect,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let command = Command::RecordEffect(owner.clone(), key.clone(), effect);
        write_answer(&self.run(request, command, With { request: None, event: false }, now).await?)
    }
}

impl Settle for Database {
    async fn settle(
        &self,
        request: &Request,
        owner: &Owner,
        settlement: &Settlement,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let command = Command::Settle(owner.clone(), settlement.clone());
        let event = *settlement != Settlement::Released;
        let with = With { request: Some(request), event };
        write_answer(&self.run(&request.key(), command, with, now).await?)
    }

    async fn file_event(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        file_event(&mut connection, request, now).await
    }
}

fn write_answer(answer: &Answer) -> Result<Result<(), LeaseLost>, LedgerError> {
    match answer {
        Answer::Write(answer) => Ok(*answer),
        Answer::Claim(_) => Err(failed("a write is answered as one")),
    }
}
