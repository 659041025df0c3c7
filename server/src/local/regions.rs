//! The Regions of one machine: a gate each, all in front of one PostgreSQL, as a cluster's Regional
//! endpoints are one database (`dsql.md`, section 5). Whoever takes a Region away arms and confirms,
//! and the last one that is open stays unless that is forced.

mod arming;

pub use arming::{ARM_VALID, ArmError, ArmToken};

use super::gate::{self, Counters, Fault, FaultError, Gate};
use arming::{Armed, Arming};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use shared::Region;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The Regions if none are named: the two nearest to each other.
pub const DEFAULT_REGIONS: [Region; 2] = [Region::Tokyo, Region::Seoul];

/// Why Regions cannot be opened, taken away or restored.
#[derive(Debug, thiserror::Error)]
pub enum RegionsError {
    /// With one there is no peer to move to.
    #[error("at least two Regions are needed")]
    TooFew,
    /// A Region has one endpoint.
    #[error("{0} is named twice")]
    Twice(Region),
    /// Gates speak without TLS, and break what goes through them.
    #[error("gates stand before a PostgreSQL of this machine only")]
    NotLocal,
    /// No port to be had.
    #[error("opening the gate of {0}")]
    Open(Region, #[source] io::Error),
    /// No such gate.
    #[error("{0} has no gate here")]
    UnknownRegion(Region),
    /// The fault cannot be set.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The token confirms nothing.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// The fault takes a Region away, and those are armed and confirmed.
    #[error("this fault takes {0} away: arm it, then confirm it")]
    NotArmed(Region),
    /// Nobody could work any more.
    #[error("{0} is the last Region that is open")]
    LastRegion(Region),
}

/// What every Region is like at one instant. Times are milliseconds after the gates were opened, by
/// a monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegionsStatus {
    /// When this was seen.
    pub at_ms: u64,
    /// The Regions, in the order in which they were named.
    pub regions: Vec<RegionStatus>,
}

/// What one Region is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegionStatus {
    /// Which.
    pub region: Region,
    /// Whether work can be done there: no fault takes it away.
    pub open: bool,
    /// The faults that are set.
    pub faults: Vec<Fault>,
    /// When they were set or taken back last.
    pub since_ms: u64,
    /// The fault that waits for its confirmation.
    pub armed: Option<ArmedStatus>,
    /// Connections that are open now.
    pub open_connections: u64,
    /// What was seen and what took effect since the gates were opened.
    pub counters: Counters,
}

/// A fault that waits for its confirmation. Its token is told to nobody but who armed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ArmedStatus {
    /// Which.
    pub fault: Fault,
    /// How many milliseconds it can still be confirmed.
    pub valid_ms: u64,
}

#[derive(Debug)]
struct Regional {
    region: Region,
    url: String,
    gate: Gate,
}

impl Regional {
    fn is_open(&self) -> bool {
        !self.gate.faults().iter().any(Fault::takes_away)
    }
}

/// The gates of several Regions before one PostgreSQL; they close when dropped.
#[derive(Debug)]
pub struct RegionalGates {
    regionals: Vec<Regional>,
    started: Instant,
    /// Held over what is decided by the state of several gates.
    arming: Mutex<Arming>,
}

impl RegionalGates {
    /// Opens a gate for each Region in front of the server that a database URL names, each on a free
    /// port of the loopback.
    ///
    /// # Errors
    /// When there are fewer than two Regions or one is there twice, when the server is not on this
    /// machine, or when there is no port to be had.
    pub async fn start(database_url: &str, regions: &[Region]) -> Result<Self, RegionsError> {
        if regions.len() < 2 {
            return Err(RegionsError::TooFew);
        }
        if !is_local(database_url) {
            return Err(RegionsError::NotLocal);
        }
        let started = Instant::now();
        let mut regionals: Vec<Regional> = Vec::new();
        for region in regions.iter().copied() {
            if regionals.iter().any(|other| other.region == region) {
                return Err(RegionsError::Twice(region));
            }
            let gate = Gate::before(database_url)
                .await
                .map_err(|error| RegionsError::Open(region, error))?;
            let url = gate.url(database_url);
            regionals.push(Regional { region, url, gate });
        }
        let gates = Self {
            regionals,
            started,
            arming: Mutex::default(),
        };
        gates.seed(0);
        Ok(gates)
    }

    /// The Regions, in the order in which they were named.
    pub fn regions(&self) -> impl Iterator<Item = Region> {
        self.regionals.iter().map(|regional| regional.region)
    }

    /// The database URL of each Region, password included, in the same order.
    #[must_use]
    pub fn urls(&self) -> Vec<&str> {
        let urls = self.regionals.iter().map(|regional| regional.url.as_str());
        urls.collect()
    }

    /// The gate of a Region, for tests: what is set there by hand asks for no confirmation.
    ///
    /// # Errors
    /// When the Region has none.
    pub fn gate(&self, region: Region) -> Result<&Gate, RegionsError> {
        Ok(&self.regional(region)?.gate)
    }

    /// Starts the generators of every gate from one seed, each differently.
    pub fn seed(&self, seed: u64) {
        for (regional, seed) in self.regionals.iter().zip(seeds_of(seed)) {
            regional.gate.seed(seed);
        }
    }

    /// Puts faults that leave the Region open in the place of those that are set there.
    ///
    /// # Errors
    /// When the Region has no gate, a fault cannot be set, or one would take the Region away.
    pub fn set(&self, region: Region, faults: &[Fault]) -> Result<(), RegionsError> {
        let regional = self.regional(region)?;
        if faults.iter().any(Fault::takes_away) {
            return Err(RegionsError::NotArmed(region));
        }
        Ok(regional.gate.set(faults)?)
    }

    /// First step: the fault waits for its confirmation for [`ARM_VALID`], in the place of one that
    /// waited for the same Region.
    ///
    /// # Errors
    /// When the Region has no gate, the fault cannot be set, or it would take the last Region away.
    pub fn arm(&self, region: Region, fault: Fault) -> Result<ArmToken, RegionsError> {
        self.arm_at(Instant::now(), region, fault, false)
    }

    /// [`RegionalGates::arm`], also if it is the last Region that is open.
    ///
    /// # Errors
    /// When the Region has no gate or the fault cannot be set.
    pub fn arm_forced(&self, region: Region, fault: Fault) -> Result<ArmToken, RegionsError> {
        self.arm_at(Instant::now(), region, fault, true)
    }

    /// Second step: adds the fault to those that are set. Returns which it was, and where.
    ///
    /// # Errors
    /// When nothing is armed under the token or it has expired, when the Region has become the last
    /// one that is open, or when the fault does not go together with those that are set.
    pub fn confirm(&self, token: ArmToken) -> Result<(Region, Fault), RegionsError> {
        self.confirm_at(Instant::now(), token)
    }

    /// Takes back every fault of a Region, and what is armed for it.
    ///
    /// # Errors
    /// When the Region has no gate.
    pub fn restore(&self, region: Region) -> Result<(), RegionsError> {
        let regional = self.regional(region)?;
        let mut arming = self.arming();
        arming.disarm(region);
        regional.gate.disarm();
        Ok(())
    }

    /// Takes back every fault of every Region, and everything that is armed.
    pub fn restore_all(&self) {
        let mut arming = self.arming();
        for regional in &self.regionals {
            arming.disarm(regional.region);
            regional.gate.disarm();
        }
    }

    /// What every Region is like now.
    #[must_use]
    pub fn status(&self) -> RegionsStatus {
        let now = Instant::now();
        let arming = self.arming();
        let regions = self.regionals.iter();
        RegionsStatus {
            at_ms: self.ms_at(now),
            regions: regions.map(|r| self.status_of(r, &arming, now)).collect(),
        }
    }

    fn status_of(&self, regional: &Regional, arming: &Arming, now: Instant) -> RegionStatus {
        let armed = arming.armed(regional.region, now);
        let gate = &regional.gate;
        RegionStatus {
            region: regional.region,
            open: regional.is_open(),
            faults: gate.faults(),
            since_ms: self.ms_at(gate.since()),
            armed: armed.map(|(fault, left)| ArmedStatus {
                fault,
                valid_ms: ms(left),
            }),
            open_connections: gate.open_connections(),
            counters: gate.counters(),
        }
    }

    fn ms_at(&self, instant: Instant) -> u64 {
        ms(instant.saturating_duration_since(self.started))
    }

    fn regional(&self, region: Region) -> Result<&Regional, RegionsError> {
        let mut all = self.regionals.iter();
        all.find(|regional| regional.region == region)
            .ok_or(RegionsError::UnknownRegion(region))
    }

    fn arming(&self) -> MutexGuard<'_, Arming> {
        self.arming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm_at(
        &self,
        now: Instant,
        region: Region,
        fault: Fault,
        forced: bool,
    ) -> Result<ArmToken, RegionsError> {
        self.regional(region)?;
        fault.check()?;
        let armed = Armed {
            token: ArmToken::of(rand::random()),
            region,
            fault,
            forced,
            at: now,
        };
        let mut arming = self.arming();
        self.refuse_last(&armed)?;
        arming.arm(armed);
        Ok(armed.token)
    }

    fn confirm_at(&self, now: Instant, token: ArmToken) -> Result<(Region, Fault), RegionsError> {
        // Held until the fault is set: two confirmations at once could each see the other's Region
        // open.
        let mut arming = self.arming();
        let armed = arming.take(token, now)?;
        self.refuse_last(&armed)?;
        self.regional(armed.region)?.gate.add(armed.fault)?;
        Ok((armed.region, armed.fault))
    }

    fn refuse_last(&self, armed: &Armed) -> Result<(), RegionsError> {
        let mut open = self.regionals.iter().filter(|regional| regional.is_open());
        let is_it = |regional: &Regional| regional.region == armed.region;
        let is_last = open.next().is_some_and(is_it) && open.next().is_none();
        if is_last && armed.fault.takes_away() && !armed.forced {
            return Err(RegionsError::LastRegion(armed.region));
        }
        Ok(())
    }
}

/// A seed for each gate.
fn seeds_of(seed: u64) -> impl Iterator<Item = u64> {
    StdRng::seed_from_u64(seed).random_iter()
}

/// Whether a URL names a server of this machine by its loopback, and no other one behind that.
fn is_local(database_url: &str) -> bool {
    let settings = database_url.split_once('?').map_or("", |(_, rest)| rest);
    let leads_elsewhere = |setting: &str| {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        // The folder of a Unix socket is on this machine. What is encoded is not worth decoding.
        let is_folder = name == "host" && value.starts_with('/');
        !is_folder && (name.contains('%') || gate::ELSEWHERE.contains(&name))
    };
    if settings.split('&').any(leads_elsewhere) {
        return false;
    }
    let Some(server) = gate::server_of(database_url) else {
        return false;
    };
    let host = match server.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => server,
    };
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
