//! What keys promise: F32 and F33.

use super::super::stage::somebody;
use super::deeds::{Kind, Yard};
use super::{Case, Ground};
use crate::ledger::rehearsal;
use app::ports::Failure;

/// Far beyond any retention: forty days, in milliseconds.
const LONG_AGO_MS: i64 = 40 * 24 * 3_600 * 1_000;

/// F32: the same key with another body is refused; another tenant's same key is another key.
pub async fn another_body(ground: &Ground) -> anyhow::Result<Case> {
    let (stage, mut case) = (ground.stage().await?, Case::default());
    let yard = Yard::new(&stage.kernels).await?;
    let stranger = somebody(&stage.kernels, "stranger").await?;
    let (first, second) = (stage.kernels.of(0), stage.kernels.of(1));
    for _ in 0..ground.times(10) {
        for kind in Kind::ALL {
            let deed = yard.deed(kind).await?;
            let told = deed.send(first).await?;
            case.expect(told.answer.is_ok(), || format!("{deed:?}: {told:?}"));
            if let Some(twisted) = deed.twisted() {
                let heard = twisted.send(second).await;
                let is_refused = heard == Err(Failure::KeyReused);
                case.happened(1, u64::from(is_refused));
                case.expect(is_refused, || format!("{twisted:?}: {heard:?}"));
            }
            // What a stranger may do under the same key, they do; what they may not is refused for
            // what it is. Neither is the first one's answer.
            let heard = deed.by(&stranger).send(second).await;
            let is_own = heard.as_ref().is_ok_and(|heard| !heard.replayed);
            case.expect(is_own, || format!("a stranger's {deed:?}: {heard:?}"));
            let again = deed.send(second).await?;
            case.expect(again.replayed && again.answer == told.answer, || {
                format!("{deed:?} was answered {told:?}, then {again:?}")
            });
        }
    }
    case.checked(
        "the other body is refused, the first answer stays, a stranger's key is their own",
    );
    case.audit(&stage).await?;
    stage.kernels.close().await;
    Ok(case)
}

/// F33: a key that is asked again long after its time charges nobody a second time.
pub async fn after_its_time(ground: &Ground) -> anyhow::Result<Case> {
    let (stage, mut case) = (ground.stage().await?, Case::default());
    let yard = Yard::new(&stage.kernels).await?;
    let mut done = Vec::new();
    for kind in Kind::ALL {
        let deed = yard.deed(kind).await?;
        let told = deed.send(stage.kernels.of(0)).await?;
        done.push((deed, told));
    }
    let owners: Vec<_> = done.iter().map(|(deed, _)| deed.tenant()).collect();
    let endpoints = stage.kernels.of(0).runner().endpoints();
    let aged = rehearsal::age_keys(endpoints, &owners, LONG_AGO_MS).await?;
    case.needs(aged > 0, "no key was aged");
    for (deed, told) in &done {
        let again = deed.send(stage.kernels.of(1)).await?;
        case.happened(1, u64::from(again.replayed));
        case.expect(again.replayed && again.answer == told.answer, || {
            format!("{deed:?} was answered {told:?}, and after forty days {again:?}")
        });
    }
    case.checked("after forty days each key answers as it did, and nothing is done again");
    // The rows say when: those that were aged are not what the audits of times are about.
    rehearsal::age_keys(endpoints, &owners, -LONG_AGO_MS).await?;
    case.audit(&stage).await?;
    stage.kernels.close().await;
    Ok(case)
}
