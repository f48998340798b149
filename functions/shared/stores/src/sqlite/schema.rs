//! The tables, as migrations.

use std::cmp::Ordering;

use sqlx::SqlitePool;

use super::OpenError;

/// The last version of the first edition and of what came before the second was released. Such
/// databases are not supported.
const FIRST_EDITION: usize = 7;

/// Migration `n` leads to version [`FIRST_EDITION`] + `n` + 1, which is stored in SQLite's
/// `user_version`. A released migration is never changed, because existing databases have run it.
pub(super) const STEPS: &[&str] = &["
    CREATE TABLE queue (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        body TEXT NOT NULL,
        visible_at INTEGER NOT NULL,
        in_flight INTEGER NOT NULL DEFAULT 0,
        receive_count INTEGER NOT NULL DEFAULT 0,
        first_received INTEGER,
        hidden_at INTEGER
    ) STRICT;
    CREATE INDEX queue_by_visibility ON queue (visible_at);
    CREATE INDEX queue_by_hiding ON queue (hidden_at) WHERE hidden_at IS NOT NULL;
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        body TEXT NOT NULL,
        class TEXT NOT NULL,
        reason TEXT NOT NULL,
        receive_count INTEGER NOT NULL,
        failed_at INTEGER NOT NULL,
        target TEXT,
        first_received INTEGER,
        cause TEXT
    ) STRICT;
    CREATE INDEX dead_letters_by_class ON dead_letters (class);
    CREATE TABLE discarded_dead_letters (
        id INTEGER PRIMARY KEY,
        body TEXT NOT NULL,
        class TEXT NOT NULL,
        reason TEXT NOT NULL,
        receive_count INTEGER NOT NULL,
        failed_at INTEGER NOT NULL,
        target TEXT,
        first_received INTEGER,
        discard_reason TEXT NOT NULL,
        discarded_at INTEGER NOT NULL,
        cause TEXT
    ) STRICT;
    CREATE TABLE requests (
        key TEXT PRIMARY KEY,
        record TEXT NOT NULL,
        definition_id TEXT NOT NULL,
        event_id TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        received_at INTEGER,
        first_claimed_at INTEGER,
        flow TEXT,
        applicant TEXT,
        form_number TEXT,
        last_failure TEXT
    ) STRICT;
    CREATE INDEX requests_by_time ON requests (first_claimed_at);
    CREATE TABLE events (
        key TEXT PRIMARY KEY,
        request TEXT NOT NULL,
        processed_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE lookups (
        lookup TEXT NOT NULL,
        request TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (lookup, request)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX lookups_by_time ON lookups (lookup, at);
    CREATE TABLE grants (
        target TEXT NOT NULL,
        subject TEXT NOT NULL,
        record TEXT NOT NULL,
        due INTEGER,
        expires_at INTEGER,
        PRIMARY KEY (target, subject)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX grants_by_time ON grants (due) WHERE due IS NOT NULL;
    CREATE TABLE persons (
        source TEXT NOT NULL,
        person TEXT NOT NULL,
        record TEXT NOT NULL,
        expires_at INTEGER,
        PRIMARY KEY (source, person)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE blocks (
        subject TEXT PRIMARY KEY,
        block TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE acts (
        id TEXT PRIMARY KEY,
        at INTEGER NOT NULL,
        act TEXT NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX acts_by_time ON acts (at);
    CREATE TABLE schedule (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        schedule TEXT NOT NULL
    ) STRICT;
    CREATE TABLE sweeps (
        key TEXT PRIMARY KEY,
        record TEXT NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE unwanted (
        key TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        last INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX unwanted_by_time ON unwanted (last);
    CREATE TABLE replays (
        request TEXT NOT NULL,
        event_id TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (request, event_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE breakers (
        target TEXT PRIMARY KEY,
        breaker TEXT NOT NULL
    ) STRICT;
    CREATE TABLE flows (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        text TEXT NOT NULL,
        connectors TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT;
"];

/// Checks that the database has run exactly these migrations.
pub(super) async fn check(pool: &SqlitePool, steps: &[&'static str]) -> Result<(), OpenError> {
    let found: u32 = sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await?;
    let (found, known) = (found as usize, FIRST_EDITION + steps.len());
    match found.cmp(&known) {
        Ordering::Less if is_first_edition(found) => Err(OpenError::FirstEdition),
        Ordering::Less => Err(OpenError::TooOld { found, known }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(OpenError::TooNew { found, known }),
    }
}

/// Runs the missing migrations in one transaction.
pub(super) async fn migrate(pool: &SqlitePool, steps: &[&'static str]) -> Result<(), OpenError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let found: u32 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    let (found, known) = (found as usize, FIRST_EDITION + steps.len());
    if is_first_edition(found) {
        return Err(OpenError::FirstEdition);
    }
    let Some(to_go) = steps.get(found.saturating_sub(FIRST_EDITION)..) else {
        return Err(OpenError::TooNew { found, known });
    };
    if to_go.is_empty() {
        return Ok(());
    }
    for step in to_go {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    let version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {known}"));
    sqlx::raw_sql(version).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// A database without any table has version 0.
const fn is_first_edition(version: usize) -> bool {
    1 <= version && version <= FIRST_EDITION
}

#[cfg(test)]
mod tests {
    use greenlight_core::ports::Enqueue;
    use greenlight_testkit::request::request;

    use super::super::Database;
    use super::*;

    const NEXT: &str = "ALTER TABLE queue ADD COLUMN note TEXT NOT NULL DEFAULT 'from before'";

    async fn version(database: &Database) -> i64 {
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&database.pool).await.unwrap()
    }

    #[tokio::test]
    async fn an_older_database_is_brought_up_to_date_with_what_is_in_it() {
        let database = Database::in_memory().await.unwrap();
        database.enqueue(&request("I-1")).await.unwrap();
        let steps = [STEPS, &[NEXT]].concat();
        migrate(&database.pool, &steps).await.unwrap();
        migrate(&database.pool, &steps).await.unwrap();
        assert_eq!(version(&database).await, i64::try_from(FIRST_EDITION + steps.len()).unwrap());
        let notes: Vec<(String, String)> =
            sqlx::query_as("SELECT body, note FROM queue").fetch_all(&database.pool).await.unwrap();
        assert_eq!(notes, [(request("I-1").to_json(), "from before".to_owned())]);
    }

    #[tokio::test]
    async fn a_step_that_fails_leaves_everything_as_it_was() {
        let database = Database::in_memory().await.unwrap();
        database.enqueue(&request("I-1")).await.unwrap();
        let before = version(&database).await;
        let steps = [STEPS, &[NEXT, "CREATE TABLE queue (id INTEGER)"]].concat();
        assert!(migrate(&database.pool, &steps).await.is_err());
        assert_eq!(version(&database).await, before);
        assert!(sqlx::query("SELECT note FROM queue").fetch_all(&database.pool).await.is_err());
        assert!(database.next_visible().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_database_of_a_newer_greenlight_is_left_alone() {
        let database = Database::in_memory().await.unwrap();
        let newer = [STEPS, &[NEXT]].concat();
        migrate(&database.pool, &newer).await.unwrap();
        let error = migrate(&database.pool, STEPS).await.unwrap_err();
        assert!(matches!(error, OpenError::TooNew { .. }), "{error}");
        let error = check(&database.pool, STEPS).await.unwrap_err();
        assert!(matches!(error, OpenError::TooNew { .. }), "{error}");
        check(&database.pool, &newer).await.unwrap();
        let error = check(&database.pool, &[&newer[..], &[NEXT]].concat()).await.unwrap_err();
        assert!(matches!(error, OpenError::TooOld { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_database_of_the_first_edition_is_refused_and_left_alone() {
        let database = Database::in_memory().await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 7").execute(&database.pool).await.unwrap();
        for refused in [migrate(&database.pool, STEPS).await, check(&database.pool, STEPS).await] {
            assert!(matches!(refused, Err(OpenError::FirstEdition)), "{refused:?}");
        }
        assert_eq!(version(&database).await, 7);
    }
}
