//! Moderation as sockets and plain forms ask for it.

use super::rooms;
use super::state::LiveState;
use crate::firehose::{Moderated, Moderator};
use app::ports::{Failure, Viewer};
use shared::chat::Moderation;
use shared::live::ErrorCode;
use shared::{LotId, PrincipalId};

impl LiveState {
    /// The seller of a lot, which must exist.
    pub(super) async fn seller_of(&self, lot: LotId) -> Result<PrincipalId, ErrorCode> {
        if let Some(seller) = self.known_lots.seller(lot) {
            return Ok(seller);
        }
        let room = self.ledger.room(lot).await.map_err(unavailable)?;
        let seller = room.ok_or(ErrorCode::NotFound)?.lot.seller.id;
        self.known_lots.add(lot, seller);
        Ok(seller)
    }

    /// Does what somebody wants done in a room, if they may, and tells the room of it.
    ///
    /// # Errors
    /// `sign_in`, `invalid_duration`, `forbidden`, `not_found` or `unavailable`.
    pub async fn moderate(
        &self,
        viewer: &Viewer,
        lot: LotId,
        action: &Moderation,
    ) -> Result<(), ErrorCode> {
        let person = viewer.person.clone().ok_or(ErrorCode::SignIn)?;
        if !action.is_in_range() {
            return Err(ErrorCode::InvalidDuration);
        }
        let seller = self.seller_of(lot).await?;
        let by = Moderator {
            person,
            moderates: viewer.moderates(seller),
        };
        let done = self.firehose.moderate(lot, &by, action).await;
        match done.map_err(|error| unavailable(error.into_failure()))? {
            Moderated::Done => {
                rooms::tell_moderation(&self.hub, lot, action);
                Ok(())
            }
            Moderated::NotFound => Err(ErrorCode::NotFound),
            Moderated::Forbidden => Err(ErrorCode::Forbidden),
        }
    }
}

pub(super) fn unavailable(_logged_where_it_happened: Failure) -> ErrorCode {
    ErrorCode::Unavailable
}
