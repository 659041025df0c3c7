//! The rows of webhooks: who hears of events, what is on its way, and what became of each try.
//!
//! | file | what it holds |
//! |---|---|
//! | `endpoints` | webhook endpoints and their secrets |
//! | `queue` | deliveries: queued, due |
//! | `attempts` | tried, given up, played again |
//! | `history` | what owners read |
//!
//! A tenant is the owner of API keys. Every statement that a tenant asks for names the tenant, so
//! what is another's is the same as what does not exist. A delivery's id follows from its endpoint
//! and its event (`ids::delivery`), so an event that is queued again is queued once.

mod attempts;
mod endpoints;
mod history;
pub(super) mod queue;

use super::Ledger;
use super::transaction::TxError;
use crate::webhooks::event::WebhookEvent;
use crate::webhooks::guard::WebhookUrl;
use crate::webhooks::signature::Secret;
use app::ports::Failure;
pub use attempts::{Attempt, MAX_TRIES, Replay, Then};
pub use endpoints::{
    CreatedEndpoint, Disabled, EndpointLimit, MAX_ENDPOINTS, Rotated, SECRET_OVERLAP_MS,
    WebhookEndpoint,
};
pub use history::{AttemptLine, Cursor, Delivery, DeliveryDetail, DeliveryPage, DeliveryState};
pub use queue::{Busy, Due};
use shared::{DeliveryId, PrincipalId, WebhookEndpointId};
use tokio::sync::Notify;

/// What owners of API keys ask for.
impl Ledger {
    /// Creates a webhook endpoint with a fresh secret. The id, made by the caller, is the key: a
    /// repeat answers what there is.
    ///
    /// # Errors
    /// When the ledger cannot answer, or the id is another tenant's.
    pub async fn create_webhook_endpoint(
        &self,
        tenant: PrincipalId,
        id: WebhookEndpointId,
        url: &WebhookUrl,
    ) -> Result<Result<CreatedEndpoint, EndpointLimit>, Failure> {
        let create = endpoints::Create::new(tenant, id, url);
        Ok(self.runner.run(create).await?.answer)
    }

    /// A tenant's webhook endpoints without the deleted ones, the oldest first.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn webhook_endpoints(
        &self,
        tenant: PrincipalId,
    ) -> Result<Vec<WebhookEndpoint>, Failure> {
        self.runner
            .read(move |tx| Box::pin(endpoints::of_tenant(tx, tenant)))
            .await
    }

    /// One webhook endpoint of a tenant, also a deleted one.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn webhook_endpoint(
        &self,
        tenant: PrincipalId,
        id: WebhookEndpointId,
    ) -> Result<Option<WebhookEndpoint>, Failure> {
        let read = self
            .runner
            .read(move |tx| Box::pin(endpoints::one(tx, tenant, id)));
        Ok(read.await?.map(|(endpoint, _secret)| endpoint))
    }

    /// The secret of a tenant's webhook endpoint: who lost the answer of a creation or a rotation
    /// need not rotate again.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn webhook_secret(
        &self,
        tenant: PrincipalId,
        id: WebhookEndpointId,
    ) -> Result<Option<Secret>, Failure> {
        let read = self
            .runner
            .read(move |tx| Box::pin(endpoints::one(tx, tenant, id)));
        let is_kept = |endpoint: &WebhookEndpoint| endpoint.disabled != Some(Disabled::Deleted);
        let found = read.await?.filter(|(endpoint, _secret)| is_kept(endpoint));
        Ok(found.map(|(_endpoint, secret)| secret))
    }

    /// Gives a webhook endpoint a new secret. The one before signs too for [`SECRET_OVERLAP_MS`],
    /// and one before that no more. `None` if the tenant has no such endpoint.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn rotate_webhook_secret(
        &self,
        tenant: PrincipalId,
        id: WebhookEndpointId,
    ) -> Result<Option<Rotated>, Failure> {
        let rotate = endpoints::Rotate::new(tenant, id);
        Ok(self.runner.run(rotate).await?.answer)
    }

    /// Deletes a webhook endpoint: it hears of nothing more, its history stays, its place is free.
    /// Whether the tenant has such an endpoint; deleting it again changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn delete_webhook_endpoint(
        &self,
        tenant: PrincipalId,
        id: WebhookEndpointId,
    ) -> Result<bool, Failure> {
        let delete = endpoints::Delete { tenant, id };
        Ok(self.runner.run(delete).await?.answer)
    }

    /// Queues events for every enabled webhook endpoint of a tenant and wakes the dispatcher.
    /// Repeating it changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot answer; some of the events may be queued then, so repeat all.
    pub async fn queue_webhooks(
        &self,
        tenant: PrincipalId,
        events: &[WebhookEvent],
    ) -> Result<(), Failure> {
        for events in queue::batches(events) {
            let events = events.to_vec();
            self.runner.run(queue::Queue { tenant, events }).await?;
            self.webhooks_queued.notify_one();
        }
        Ok(())
    }

    /// A tenant's deliveries, of one webhook endpoint or of all, the newest first. At most
    /// `limit` of them, and at most 100, after the place that the page before ended at.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn webhook_deliveries(
        &self,
        tenant: PrincipalId,
        endpoint: Option<WebhookEndpointId>,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<DeliveryPage, Failure> {
        self.runner
            .read(move |tx| Box::pin(history::page(tx, tenant, endpoint, after, limit)))
            .await
    }

    /// One delivery of a tenant, with what was sent and every try.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn webhook_delivery(
        &self,
        tenant: PrincipalId,
        id: DeliveryId,
    ) -> Result<Option<DeliveryDetail>, Failure> {
        self.runner
            .read(move |tx| Box::pin(history::one(tx, tenant, id)))
            .await
    }

    /// Sends a delivery again, now and with tries of a whole schedule, under the same
    /// `webhook-id`. One that waits for its next try is tried now.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn replay_webhook(
        &self,
        tenant: PrincipalId,
        id: DeliveryId,
    ) -> Result<Replay, Failure> {
        let replay = attempts::PlayAgain { tenant, id };
        let answer = self.runner.run(replay).await?.answer;
        self.webhooks_queued.notify_one();
        Ok(answer)
    }
}

/// What the dispatcher asks for.
impl Ledger {
    /// Woken whenever this node queued deliveries.
    #[must_use]
    pub const fn webhooks_queued(&self) -> &Notify {
        &self.webhooks_queued
    }

    /// Deliveries whose time has come, without those of whoever is busy.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn due_webhooks(&self, busy: Busy) -> Result<Vec<Due>, Failure> {
        self.runner
            .read(move |tx| Box::pin(queue::due(tx, busy.clone())))
            .await
    }

    /// Records a try. Whether it counted: another node may have recorded one since the delivery
    /// was read.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn record_webhook(&self, attempt: Attempt) -> Result<bool, Failure> {
        let ran = self.runner.run(attempts::Record(attempt)).await?;
        // A COMMIT whose answer was lost is run again, and then finds its own row.
        Ok(ran.answer || ran.was_unknown)
    }

    /// Gives up what waits for webhook endpoints that are disabled.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn abandon_webhooks(&self, disabled: Vec<WebhookEndpointId>) -> Result<(), Failure> {
        self.runner.run(attempts::Abandon(disabled)).await?;
        Ok(())
    }
}

/// Reads a secret that the program wrote.
fn secret(text: &str) -> Result<Secret, TxError> {
    text.parse()
        .map_err(|_malformed| TxError::Corrupt("webhook secret"))
}

/// Reads a number that the program wrote: a status, or a count of tries.
fn small<T: TryInto<u16>>(number: T) -> Result<u16, TxError> {
    number
        .try_into()
        .map_err(|_range| TxError::Corrupt("number of a webhook"))
}
