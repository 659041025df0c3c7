//! Merchants: who sells items to agents.

use super::super::transaction::{Tx, TxError};
use super::lists::MerchantView;
use super::replies::Work;
use async_trait::async_trait;
use shared::purchase::{Label, Refusal};
use shared::{MerchantId, PrincipalId, Timestamp};

/// A new merchant.
pub struct NewMerchant {
    /// Whose.
    pub tenant: PrincipalId,
    /// Its id.
    pub id: MerchantId,
    /// Its name.
    pub name: Label,
}

#[async_trait]
impl Work for NewMerchant {
    type Resource = MerchantView;
    const NAME: &'static str = "new_merchant";

    async fn work(
        &self,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<Result<MerchantView, Refusal>, TxError> {
        let query = sqlx::query(
            "INSERT INTO merchants (merchant_id, tenant_id, name, created_at_ms)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(self.id.uuid())
        .bind(self.tenant.uuid())
        .bind(self.name.as_str().to_owned())
        .bind(now.0);
        tx.must_write(1, "merchant", query).await?;
        Ok(Ok(MerchantView {
            merchant_id: self.id,
            name: self.name.as_str().to_owned(),
            created_at_ms: now.0,
        }))
    }
}

/// How many of some merchants a tenant has.
///
/// # Errors
/// What the database says.
pub async fn owned(
    tx: &mut Tx,
    tenant: PrincipalId,
    merchants: &[MerchantId],
) -> Result<usize, TxError> {
    let ids: Vec<_> = merchants.iter().map(|merchant| merchant.uuid()).collect();
    let query = sqlx::query_as(
        "SELECT count(*) FROM merchants WHERE merchant_id = ANY($1) AND tenant_id = $2",
    )
    .bind(ids)
    .bind(tenant.uuid());
    let (count,): (i64,) = tx.fetch_one(query).await?;
    Ok(usize::try_from(count).unwrap_or(0))
}
