//! The checker is checked on what really happened.

use crate::order::record;
use crate::record::plants;

#[test]
fn every_planted_fault_is_found() {
    plants::assert_each_is_found(&record(3, 7), &[]);
}
