"""The BentoML service: the public API mounted at the root, and one native endpoint for BentoML's own clients."""

from __future__ import annotations

import bentoml

from candlecast import api
from candlecast.logs import set_up_logs
from candlecast.settings import load_settings
from candlecast.store.database import open_database
from service.board import Board
from service.follower import Follower
from service.front import Front
from service.lanes import Lanes
from service.limits import ANSWER_SECONDS, MeasuredRequests
from service.own_candles import own_forecasts
from service.ready import ReadyAnswers
from service.routes import create_api
from service.tokens import TokenGate

public_api = create_api()


@bentoml.service(
    name="candlecast",
    # Ours comes first, and answers with a problem.
    traffic={"timeout": 2 * ANSWER_SECONDS},
    # Ours are bounded and cover every route; BentoML's would take any path as a label value.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
# Not the FastAPI object itself: of that BentoML would pass on only the paths it knows, and answer the rest itself.
@bentoml.asgi_app(MeasuredRequests(public_api), path="/")
class Candlecast:
    """One worker process: a board, the threads that keep it up to date, and the API that reads it."""

    def __init__(self) -> None:
        settings = load_settings()
        set_up_logs(settings.log_level)
        self.database = open_database(settings)
        self.board = Board(settings, self.database)
        self.follower = Follower(self.board)
        self.lanes = Lanes(settings.max_waiting_forecasts)
        public_api.state.gate = TokenGate(settings.api_tokens)
        public_api.state.board = self.board
        public_api.state.ready = ReadyAnswers(self.board)
        public_api.state.follower = self.follower
        public_api.state.lanes = self.lanes

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # BentoML leaves its decorators unannotated
    def start(self) -> None:
        """Begin to follow the database."""
        self.follower.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # as above
    def stop(self) -> None:
        """Stop following and let the connections go."""
        self.lanes.close()
        self.follower.stop()
        self.database.close()

    def __is_ready__(self) -> bool:
        """Ready once the board was filled for the first time; the database may go away later."""
        return self.board.reached

    @bentoml.api(route="/forecast")  # type: ignore[untyped-decorator]  # as above
    def forecast(self, request: api.ForecastRequest, /) -> api.ComputedForecasts:
        """Forecast from a caller's own candles; over HTTP `NativeAnswers` lets POST /v1/forecasts do it."""
        return own_forecasts(self.board, request)


Candlecast.add_asgi_middleware(Front, api=public_api)  # type: ignore[attr-defined]  # a Service since the decorator
