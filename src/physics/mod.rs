//! ROOM 3, physics.
