//! Index rows by which an operator finds the requests of an attempt.

use greenlight_core::Request;
use greenlight_core::audit::{AttemptRecord, Change, Lookup};
use greenlight_core::ports::LedgerError;
use sqlx::SqliteConnection;

use super::failed;

/// Writes the lookup rows of a request and the grants of its subjects. Idempotent.
pub(super) async fn file(
    connection: &mut SqliteConnection,
    request: &Request,
    attempt_record: &AttemptRecord,
) -> Result<(), LedgerError> {
    for lookup in attempt_record.lookups(request) {
        file_under(connection, &lookup, request).await?;
    }
    for change in attempt_record.changes() {
        change_grant(connection, request, attempt_record, &change).await?;
    }
    Ok(())
}

/// Writes the lookup rows of a request.
pub(super) async fn file_under(
    connection: &mut SqliteConnection,
    lookup: &Lookup,
    request: &Request,
) -> Result<(), LedgerError> {
    sqlx::query("INSERT OR REPLACE INTO lookups (lookup, request, at) VALUES (?, ?, ?)")
        .bind(lookup.key())
        .bind(request.key().as_str())
        .bind(request.received_at.as_millis())
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Grants or revokes. A grant keeps the time of its first approval; only a later effect renews a
/// revoked grant, so that a late attempt changes nothing.
async fn change_grant(
    connection: &mut SqliteConnection,
    request: &Request,
    attempt_record: &AttemptRecord,
    change: &Change<'_>,
) -> Result<(), LedgerError> {
    let when = if change.is_held {
        "grants.is_held = 0 AND grants.at < excluded.at"
    } else {
        "grants.at <= excluded.at"
    };
    let statement = format!(
        "INSERT INTO grants (target, subject, owner, request, applicant, is_held, at)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (target, subject) DO UPDATE SET owner = excluded.owner,
             request = excluded.request, applicant = excluded.applicant,
             is_held = excluded.is_held, at = excluded.at WHERE {when}"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(change.target)
        .bind(change.subject)
        .bind(change.owner)
        .bind(request.key().as_str())
        .bind(&attempt_record.applicant)
        .bind(change.is_held)
        .bind(change.at.as_millis())
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}
