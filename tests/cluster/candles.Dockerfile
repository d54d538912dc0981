# Real candles for the replay venue; the chart copies them out of /data.
ARG BASE=docker.io/library/python:3.12-slim
FROM ${BASE}
COPY *.csv.gz /data/
USER 10001:10001
