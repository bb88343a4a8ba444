//! Jobs, and users to whom they give their workspaces, put things in the place of files: only their own job
//! suffers.

mod another_user;
mod kinds;
