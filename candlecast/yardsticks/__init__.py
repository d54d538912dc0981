"""The yardsticks: what every forecast is held against, from "no change" to the predecessors' models.

Each is fitted on the candles of one series. They belong to evaluation: no process that serves imports them.
"""
