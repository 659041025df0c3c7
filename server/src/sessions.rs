//! Who may act: the browser's cookie holds one secret, the ledger knows its hash and the people
//! it may act as. `?as=` selects among them and can name nobody else.

use crate::gather::Gather;
use crate::hexadecimal::hexadecimal;
use crate::ledger::Ledger;
use app::ports::{Failure, SessionKey, StepIn, Viewer};
use async_trait::async_trait;
use http::HeaderMap;
use http::header::COOKIE;
use sha2::{Digest, Sha256};
use shared::view::Person;
use shared::{PrincipalId, Region};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a node trusts what it read. A session that another node ended acts on this one for no
/// longer, and a socket opened by it is found by the next round of `live/watch.rs`: both together
/// stay under five seconds.
const CACHE_LIFE: Duration = Duration::from_secs(2);

/// The least time from one read of sessions to the next: pages wait for it.
const READ_PAUSE: Duration = Duration::from_millis(20);

/// Sessions that one read asks about.
const MAX_ASKED: usize = 1_000;

/// Browsers remembered at once; beyond it the cache starts anew.
const MAX_CACHED: usize = 10_000;

/// The Region of somebody who did not choose one.
pub const DEFAULT_REGION: Region = Region::Frankfurt;

/// SHA-256 of a secret.
type SecretHash = [u8; 32];

/// What this node has read of sessions.
#[derive(Debug, Default)]
struct Cache {
    /// By the secret's hash: when the ledger was asked, and whom the browser may act as.
    people: BTreeMap<SecretHash, (Instant, Vec<Person>)>,
    /// How often a session changed here: what was asked for before is not kept.
    forgotten: u64,
}

/// The browsers' sessions.
pub struct BrowserSessions {
    ledger: Arc<Ledger>,
    /// Whether people reach us by https only: then the cookie is Secure and `__Host-`.
    secure: bool,
    demo: bool,
    /// Handles of those who moderate every room.
    operators: BTreeSet<String>,
    cache: Mutex<Cache>,
    /// Reads what the cache does not have.
    reads: Gather<SecretHash, Vec<Person>>,
}

impl BrowserSessions {
    /// Sessions over a ledger.
    #[must_use]
    pub fn new(
        ledger: Arc<Ledger>,
        secure: bool,
        demo: bool,
        operators: impl IntoIterator<Item = String>,
    ) -> Self {
        let reader = Arc::clone(&ledger);
        Self {
            ledger,
            secure,
            demo,
            operators: operators.into_iter().collect(),
            cache: Mutex::default(),
            reads: Gather::new(READ_PAUSE, move |hashes| {
                people_of(Arc::clone(&reader), hashes)
            }),
        }
    }

    const fn cookie_name(&self) -> &'static str {
        if self.secure {
            "__Host-lotzero"
        } else {
            "lotzero_browser"
        }
    }

    /// The hash of the secret in the request's cookie, if it has a well-formed one.
    fn secret_hash(&self, headers: &HeaderMap) -> Option<SecretHash> {
        let cookies = headers
            .get_all(COOKIE)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        let pairs = cookies
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(name, _)| name.trim() == self.cookie_name());
        let (_, secret) = values.next()?;
        let secret = secret.trim();
        let well_formed =
            secret.len() == SECRET_HEX && secret.bytes().all(|b| b.is_ascii_hexdigit());
        well_formed.then(|| hash(secret))
    }

    async fn people(&self, secret_hash: &SecretHash) -> Result<Vec<Person>, Failure> {
        if let Ok(cache) = self.cache.lock()
            && let Some((asked, people)) = cache.people.get(secret_hash)
            && asked.elapsed() < CACHE_LIFE
        {
            return Ok(people.clone());
        }
        let forgotten = || self.cache.lock().map(|cache| cache.forgotten).ok();
        let (asked, before) = (Instant::now(), forgotten());
        let people = self.reads.get(*secret_hash).await?.unwrap_or_default();
        if let Ok(mut cache) = self.cache.lock()
            && Some(cache.forgotten) == before
        {
            if cache.people.len() >= MAX_CACHED {
                cache.people.clear();
            }
            cache.people.insert(*secret_hash, (asked, people.clone()));
        }
        Ok(people)
    }

    fn forget(&self, secret_hash: &SecretHash) {
        if let Ok(mut cache) = self.cache.lock() {
            cache.people.remove(secret_hash);
            cache.forgotten += 1;
        }
    }
}

/// The people whom each of some browsers may act as.
async fn people_of(
    ledger: Arc<Ledger>,
    hashes: Vec<SecretHash>,
) -> Result<BTreeMap<SecretHash, Vec<Person>>, Failure> {
    let mut by_name: BTreeMap<_, _> = hashes
        .iter()
        .map(|hash| (hexadecimal(hash), *hash))
        .collect();
    let names = by_name.keys().cloned().collect();
    let people = ledger.people_of_browsers(names).await?.into_iter();
    let by_hash = people.filter_map(|(name, people)| Some((by_name.remove(&name)?, people)));
    Ok(by_hash.collect())
}

/// Hexadecimal digits of a secret: 256 random bits.
const SECRET_HEX: usize = 64;

fn fresh_secret() -> String {
    hexadecimal(&rand::random::<[u8; SECRET_HEX / 2]>())
}

/// What the ledger keeps of a secret, in hexadecimal.
fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret).into()
}

#[async_trait]
impl app::ports::Sessions for BrowserSessions {
    async fn viewer(
        &self,
        headers: &HeaderMap,
        acting_as: Option<&str>,
        acting_in: Option<&str>,
    ) -> Result<Viewer, Failure> {
        let secret_hash = self.secret_hash(headers);
        let sessions = match &secret_hash {
            Some(hash) => self.people(hash).await?,
            None => Vec::new(),
        };
        let person = match acting_as {
            Some(handle) => sessions
                .iter()
                .find(|person| person.handle == handle)
                .cloned(),
            None => sessions.first().cloned(),
        };
        let region = acting_in
            .and_then(|code| code.parse().ok())
            .unwrap_or(DEFAULT_REGION);
        let operator = person
            .as_ref()
            .is_some_and(|person| self.operators.contains(&person.handle));
        let session = secret_hash.zip(person.as_ref());
        let session = session.map(|(secret_hash, person)| SessionKey {
            secret_hash,
            person: person.id,
        });
        Ok(Viewer {
            person,
            region,
            sessions,
            operator,
            session,
        })
    }

    async fn demo_people(&self) -> Result<Vec<Person>, Failure> {
        if self.demo {
            self.ledger.demo_people().await
        } else {
            Ok(Vec::new())
        }
    }

    async fn step_in(&self, headers: &HeaderMap, handle: &str) -> Result<StepIn, Failure> {
        let people = self.demo_people().await?;
        let Some(person) = people.into_iter().find(|person| person.handle == handle) else {
            return Ok(StepIn::Unknown);
        };
        if let Some(hash) = self.secret_hash(headers) {
            // Asked anew: what this node remembers may have ended on another.
            let known = self.reads.get(hash).await?;
            // A secret that we never gave out (a fixed or a forgotten one) is not adopted.
            if known.is_some() {
                self.ledger.step_in(hexadecimal(&hash), person.id).await?;
                self.forget(&hash);
                return Ok(StepIn::Done { cookie: None });
            }
        }
        let secret = fresh_secret();
        let secret_hash = hexadecimal(&hash(&secret));
        self.ledger.step_in(secret_hash, person.id).await?;
        let life = crate::ledger::people::SESSION_LIFE_MS / 1000;
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.cookie_name();
        let cookie =
            format!("{name}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={life}{secure}");
        Ok(StepIn::Done {
            cookie: Some(cookie),
        })
    }

    async fn step_out(&self, headers: &HeaderMap, handle: Option<&str>) -> Result<(), Failure> {
        let Some(hash) = self.secret_hash(headers) else {
            return Ok(());
        };
        let person = if let Some(handle) = handle {
            let known = self.reads.get(hash).await?.unwrap_or_default();
            let Some(person) = known.into_iter().find(|one| one.handle == handle) else {
                return Ok(());
            };
            Some(person.id)
        } else {
            None
        };
        self.ledger.step_out(hexadecimal(&hash), person).await?;
        self.forget(&hash);
        Ok(())
    }

    async fn ended(&self, sessions: &[SessionKey]) -> Result<Vec<SessionKey>, Failure> {
        let mut ended = Vec::new();
        for part in sessions.chunks(MAX_ASKED) {
            let asked: Vec<_> = part.iter().map(named).collect();
            let holding = self.ledger.sessions_holding(asked).await?;
            let holding: BTreeSet<_> = holding.into_iter().collect();
            ended.extend(part.iter().filter(|one| !holding.contains(&named(one))));
        }
        Ok(ended)
    }
}

/// A session as the ledger names it.
fn named(session: &SessionKey) -> (String, PrincipalId) {
    (hexadecimal(&session.secret_hash), session.person)
}

/// Keys for forms.
pub struct FormKeys;

impl app::ports::Keys for FormKeys {
    fn mint(&self) -> shared::IdempotencyKey {
        crate::ids::key()
    }
}
