//! People and the browser sessions that may act for them.

use super::rows::now_ms;
use super::transaction::{Command, Tx, TxError};
use async_trait::async_trait;
use shared::PrincipalId;
use shared::view::Person;
use std::collections::BTreeMap;
use uuid::Uuid;

/// How long a browser keeps its demo sessions: 30 days.
pub const SESSION_LIFE_MS: i64 = 30 * 86_400_000;

#[derive(sqlx::FromRow)]
pub(super) struct PersonRow {
    principal_id: Uuid,
    handle: String,
    name: String,
    simulated: bool,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    secret_hash: String,
    #[sqlx(flatten)]
    person: PersonRow,
}

impl From<PersonRow> for Person {
    fn from(row: PersonRow) -> Self {
        Self {
            id: PrincipalId::from_uuid(row.principal_id),
            handle: row.handle,
            name: row.name,
            simulated: row.simulated,
        }
    }
}

/// Registers people, once each: the handle is the key.
pub struct Register {
    /// Who.
    pub people: Vec<Person>,
    /// Whether a browser of the demo may step in as them.
    pub demo: bool,
}

#[async_trait]
impl Command for Register {
    type Answer = ();
    const NAME: &'static str = "register";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let column = |get: fn(&Person) -> String| self.people.iter().map(get).collect::<Vec<_>>();
        let query = sqlx::query(concat!(
            "INSERT INTO principals (principal_id, handle, name, simulated, demo, created_at_ms)
             SELECT p, h, n, s, $5, ",
            now_ms!(),
            " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[]) AS d(p, h, n, s)
             ON CONFLICT (handle) DO NOTHING"
        ))
        .bind(
            self.people
                .iter()
                .map(|person| person.id.uuid())
                .collect::<Vec<_>>(),
        )
        .bind(column(|person| person.handle.clone()))
        .bind(column(|person| person.name.clone()))
        .bind(
            self.people
                .iter()
                .map(|person| person.simulated)
                .collect::<Vec<_>>(),
        )
        .bind(self.demo);
        tx.execute(query).await.map(|_written| ())
    }
}

/// Lets a browser act as a person of the demo; repeating it starts its 30 days anew.
pub struct StepIn {
    /// Hash of the cookie's secret, in hexadecimal: DSQL takes no bytes as a key.
    pub secret_hash: String,
    /// Whom it may act as.
    pub person: PrincipalId,
}

#[async_trait]
impl Command for StepIn {
    type Answer = ();
    const NAME: &'static str = "step_in";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let query = sqlx::query(concat!(
            "INSERT INTO browser_sessions (secret_hash, principal_id, created_at_ms, expires_at_ms)
             SELECT $1, $2, t.now_ms, t.now_ms + $3 FROM (SELECT ",
            now_ms!(),
            " AS now_ms) AS t
             ON CONFLICT (secret_hash, principal_id) DO UPDATE
             SET expires_at_ms = excluded.expires_at_ms"
        ))
        .bind(self.secret_hash.clone())
        .bind(self.person.uuid())
        .bind(SESSION_LIFE_MS);
        tx.execute(query).await.map(|_written| ())
    }
}

/// Ends a browser's session as a person, or as everybody.
pub struct StepOut {
    /// Hash of the cookie's secret, in hexadecimal.
    pub secret_hash: String,
    /// As whom; `None` for everybody.
    pub person: Option<PrincipalId>,
}

#[async_trait]
impl Command for StepOut {
    type Answer = ();
    const NAME: &'static str = "step_out";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let query = sqlx::query(
            "DELETE FROM browser_sessions
             WHERE secret_hash = $1 AND ($2::uuid IS NULL OR principal_id = $2)",
        )
        .bind(self.secret_hash.clone())
        .bind(self.person.map(PrincipalId::uuid));
        tx.execute(query).await.map(|_written| ())
    }
}

/// Those of some sessions, by the secret's hash and the person, that still hold.
///
/// # Errors
/// What the database says.
pub async fn holding(
    tx: &mut Tx,
    sessions: Vec<(String, PrincipalId)>,
) -> Result<Vec<(String, PrincipalId)>, TxError> {
    let (secret_hashes, people): (Vec<_>, Vec<_>) = sessions
        .into_iter()
        .map(|(secret_hash, person)| (secret_hash, person.uuid()))
        .unzip();
    let query = sqlx::query_as(concat!(
        "SELECT s.secret_hash, s.principal_id
         FROM unnest($1::text[], $2::uuid[]) AS d(secret_hash, principal_id)
         JOIN browser_sessions s
           ON s.secret_hash = d.secret_hash AND s.principal_id = d.principal_id
         WHERE s.expires_at_ms > ",
        now_ms!()
    ))
    .bind(secret_hashes)
    .bind(people);
    let rows: Vec<(String, Uuid)> = tx.fetch_all(query).await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(secret_hash, person)| (secret_hash, PrincipalId::from_uuid(person)))
        .collect())
}

/// The people whom each of some browsers may act as, in the order it stepped in; browsers without
/// any are left out.
///
/// # Errors
/// What the database says.
pub async fn of_browsers(
    tx: &mut Tx,
    secret_hashes: Vec<String>,
) -> Result<BTreeMap<String, Vec<Person>>, TxError> {
    let query = sqlx::query_as(concat!(
        "SELECT s.secret_hash, p.principal_id, p.handle, p.name, p.simulated
         FROM browser_sessions s JOIN principals p ON p.principal_id = s.principal_id
         WHERE s.secret_hash = ANY($1) AND s.expires_at_ms > ",
        now_ms!(),
        " ORDER BY s.created_at_ms, p.handle"
    ))
    .bind(secret_hashes);
    let rows: Vec<SessionRow> = tx.fetch_all(query).await?;
    let mut people = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        let sessions = people.entry(row.secret_hash).or_default();
        sessions.push(Person::from(row.person));
    }
    Ok(people)
}

/// The people whom a browser of the demo may step in as.
///
/// # Errors
/// What the database says.
pub async fn of_demo(tx: &mut Tx) -> Result<Vec<Person>, TxError> {
    let query = sqlx::query_as(
        "SELECT principal_id, handle, name, simulated FROM principals WHERE demo ORDER BY handle",
    );
    Ok(people(tx.fetch_all(query).await?))
}

/// People by handle; those who do not exist are left out.
///
/// # Errors
/// What the database says.
pub async fn by_handles(tx: &mut Tx, handles: Vec<String>) -> Result<Vec<Person>, TxError> {
    let query = sqlx::query_as(
        "SELECT principal_id, handle, name, simulated FROM principals WHERE handle = ANY($1)",
    )
    .bind(handles);
    Ok(people(tx.fetch_all(query).await?))
}

fn people(rows: Vec<PersonRow>) -> Vec<Person> {
    rows.into_iter().map(Person::from).collect()
}
