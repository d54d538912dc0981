"""The tabs of the screen: what each one shows, asks for and does. The only modules beside `ui.app` that know gradio."""
