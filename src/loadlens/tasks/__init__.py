"""What each public function does, from its arguments to its files."""
