//! What agents read of lots, and of the bids and claims that were made with a tenant's mandates.
