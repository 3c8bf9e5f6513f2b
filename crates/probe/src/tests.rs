//! Tests of the plan, of what outcomes tell, and of likely causes.

mod causes;
mod judging;
mod planning;
mod reading;
mod shop;
