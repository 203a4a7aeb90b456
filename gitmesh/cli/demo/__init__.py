"""`gitmesh demo`: a repository, two clusters, and the story that is told with them."""
