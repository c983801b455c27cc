"""What happens later: what own code does about changes, after they are true."""
