//! What jobs, and users to whom they give their workspaces, put in the place of files: it costs their job alone.

mod another_user;
mod kinds;
