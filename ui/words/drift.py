"""The Drift tab's sentences."""

# ruff: noqa: E501 - a sentence is easier to read and to translate in one line

from __future__ import annotations

from typing import Final

EN: Final[dict[str, str]] = {
    "drift_title": "Is the market still the one it was trained on?",
    "drift_line": "Recent features and forecasts beside those of training. Drift is a reason to look, and to train; it is not an error.",
    "drift_none": "No drift report for this venue and interval yet. Run one, or wait for the schedule.",
    "drift_latest": "The newest report",
    "drift_yes": "Drifted",
    "drift_no": "Within bounds",
    "drift_share": "{n} of {total} columns moved beyond their threshold",
    "drift_made": "Made",
    "drift_reference": "Reference",
    "drift_current": "Current",
    "drift_window": "{start} to {end}, {rows} rows",
    "drift_model": "Champion of then",
    "drift_no_model": "none: compared with what came before",
    "drift_method": "Distance",
    "drift_over_time": "Share of drifted columns over time",
    "drift_over_time_alt": "The share of drifted columns in each of {n} reports; a filled bar is a report that drifted.",
    "drift_columns": "How far each column has moved",
    "drift_column": "column",
    "drift_distance": "distance, the line is its threshold",
    "drift_score": "score",
    "drift_threshold": "threshold",
    "drift_page": "The whole report",
    "drift_page_of": "The whole report of {time}",
    "drift_open": "Open the report here",
    "drift_frame": "Evidently's report of drift",
    "drift_no_page": "No page was made or kept for the newest report.",
    "drift_run": "Run now",
    "drift_work": "Compare again",
}

PT: Final[dict[str, str]] = {
    "drift_title": "O mercado ainda é aquele em que foi treinado?",
    "drift_line": "Atributos e previsões recentes ao lado dos do treino. Deriva é motivo para olhar, e para treinar; não é um erro.",
    "drift_none": "Ainda não há relatório de deriva para esta corretora e este intervalo. Peça um ou espere a agenda.",
    "drift_latest": "O relatório mais novo",
    "drift_yes": "Derivou",
    "drift_no": "Dentro dos limites",
    "drift_share": "{n} de {total} colunas passaram do limite",
    "drift_made": "Feito",
    "drift_reference": "Base",
    "drift_current": "Atual",
    "drift_window": "{start} a {end}, {rows} linhas",
    "drift_model": "Campeã de então",
    "drift_no_model": "nenhuma: comparado com o que veio antes",
    "drift_method": "Distância",
    "drift_over_time": "Parte das colunas que derivou ao longo do tempo",
    "drift_over_time_alt": "A parte das colunas que derivou em cada um de {n} relatórios; barra cheia é relatório que derivou.",
    "drift_columns": "Quanto cada coluna se moveu",
    "drift_column": "coluna",
    "drift_distance": "distância, a linha é o limite",
    "drift_score": "valor",
    "drift_threshold": "limite",
    "drift_page": "O relatório inteiro",
    "drift_page_of": "O relatório inteiro de {time}",
    "drift_open": "Abrir o relatório aqui",
    "drift_frame": "Relatório de deriva do Evidently",
    "drift_no_page": "Nenhuma página foi feita ou guardada para o relatório mais novo.",
    "drift_run": "Comparar agora",
    "drift_work": "Comparar de novo",
}
