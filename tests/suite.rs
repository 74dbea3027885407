//! All integration tests, as one program: it links once.

mod house;
