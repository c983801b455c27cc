"""An application reviewed by people: who may do what, what a change changes, and its documentation."""
