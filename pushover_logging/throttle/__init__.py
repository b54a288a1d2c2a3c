"""One problem, one push: the rules and limits are pure, a Throttle applies them over a Store."""
