"""Accuracy of every variant on every task: one record a cell, and the page made of them."""
