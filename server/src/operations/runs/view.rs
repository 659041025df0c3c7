//! How a run is told.

use super::Wish;
use crate::proof::swarm::Standing;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::Timestamp;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It goes on.
    Running,
    /// Everything held.
    Held,
    /// An invariant was broken.
    Broken,
    /// What should have been tried was not.
    Invalid,
    /// It could not be carried out.
    Failed,
}

impl RunState {
    /// One word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Held => "held",
            Self::Broken => "broken",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }

    /// What it means.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Running => "It goes on.",
            Self::Held => "Every rule held.",
            Self::Broken => "A rule was broken, and that was seen.",
            Self::Invalid => "What should have been tried was not, so nothing is proven.",
            Self::Failed => "It could not be carried out.",
        }
    }
}

/// A run as it is told. Once it has ended it never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub wish: Wish,
    /// How it stands.
    pub state: RunState,
    /// When it was begun, by the node's clock.
    #[serde(default)]
    pub begun: Timestamp,
    /// How long it has taken, in milliseconds.
    pub elapsed_ms: u64,
    /// How far a swarm is.
    pub standing: Option<Standing>,
    /// Why it failed.
    pub problem: Option<String>,
    /// What it found.
    pub report: Option<Value>,
}

impl RunView {
    /// The same but for its report, which can be long.
    #[must_use]
    pub fn without_report(&self) -> Self {
        Self {
            id: self.id.clone(),
            wish: self.wish.clone(),
            problem: self.problem.clone(),
            standing: self.standing.clone(),
            report: None,
            ..*self
        }
    }
}
