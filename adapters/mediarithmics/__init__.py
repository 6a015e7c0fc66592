"""mediarithmics: document imports of user segments and their executions."""
