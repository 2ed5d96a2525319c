//! Bytes in, bytes out, on one core: accept loops, HTTP/1.1, telnet, deadlines.
//!
//! In: connections accepted by this core. Out: requests for `api`, lines for `protocol`.
