"""``RotateCredentials``: the passwords of an App that runs, so that nobody is refused who has the old or the new one.

Stage by stage (``render.desired.credentials``), and in each node after node: the engines learn the next password, then
everybody logs in with it and people read it, and after a while the former one is refused. Where it stands is in the
App's Secret, not here: an operation that was ended goes on in its place, whichever way it went. An abort goes back the
same way, until the first engine has forgotten the former password.
"""

from __future__ import annotations

from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from api.operations import OperationInput, OperationResult, OperationType, Outcome
from api.rotation import AdvanceRequest, CredentialsStep, Overlap, RotationRequest, RotationStage
from api.steps import ErrorType, NodeStep, RollNode, Step, Target
from workflows.operations.shared.apply_app import target_of
from workflows.operations.shared.control import Controlled, controlled
from workflows.operations.shared.manual_start import begun_by_entity, manual_start
from workflows.temporal.activity_call import run_step
from workflows.temporal.errors import root_of

DONE, USE = "done", "use"
"""Of ``render.desired.credentials.Stage``."""
_SAID = {
    "accept": "every engine learns the next password",
    USE: "everybody logs in with the new password",
    "retire": "the former password is refused",
    "return": "everybody logs in with the former password again",
    "withdraw": "the new password is refused again",
}


@workflow.defn(name=OperationType.ROTATE_CREDENTIALS)
class RotateCredentialsWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.ROTATE_CREDENTIALS, request)
        target = target_of(OperationType.ROTATE_CREDENTIALS, request)

        def result(outcome: Outcome, message: str) -> OperationResult:
            return OperationResult(target.operation, outcome, message, target.workflow_id)

        async def body() -> OperationResult:
            await run_step(Step.BEGIN, target, type(None), "say that it begins")
            wish = RotationRequest(target, request.asked, request.overlap)
            try:
                stage = await run_step(Step.BEGIN_ROTATION, wish, RotationStage, "the next passwords, or how far it is")
            except ActivityError as error:
                cause = root_of(error)
                if not isinstance(cause, ApplicationError) or cause.type != ErrorType.CREDENTIALS_KEPT:
                    raise
                return result(Outcome.REFUSED, cause.message)
            outcome, message = await self._through(target, stage, ask=True)
            await run_step(Step.FINISH, replace(target, reason=message), type(None), "note that it is done")
            return result(outcome, message)

        async def undo() -> str:
            back = AdvanceRequest(target, "", back=True)
            stage = await run_step(Step.ADVANCE_ROTATION, back, RotationStage, "turn back")
            too_late = stage.stage != DONE and not stage.back
            _, message = await self._through(target, stage, ask=False)
            return f"it was too late to go back, so it was completed: {message}" if too_late else message

        return await controlled(OperationType.ROTATE_CREDENTIALS, request, self.control, body, undo)

    async def _through(self, target: Target, stage: RotationStage, *, ask: bool) -> tuple[Outcome, str]:
        """From this stage to the end, in its direction. ``ask``: an operator decides on what fails, and may pause
        it."""
        began = stage
        while stage.stage != DONE:
            said = _SAID[stage.stage]
            workflow.set_current_details(f"{target.operation} of **{target.namespace}/{target.app}**: {said}")
            for node in stage.nodes:
                await self._give(target, stage, node, ask=ask)
            if stage.stage == USE and ask:
                both = await run_step(Step.KEEP_BOTH, target, Overlap, "until when both are valid")
                if both.seconds > 0:
                    workflow.set_current_details(f"Both passwords are valid for {both.seconds:.0f} s more")
                    await workflow.sleep(both.seconds, summary="both passwords are valid")
                await self.control.safe_point(target, "before the former password is retired")
            done = AdvanceRequest(target, stage.stage)
            stage = await run_step(Step.ADVANCE_ROTATION, done, RotationStage, f"{said}: done")
        if began.stage == DONE:
            return Outcome.NOTHING, "the engines run with the passwords that the Secret holds"
        names = ", ".join(began.names)
        if began.back:
            return Outcome.ABORTED, f"the former {names} is valid again, and the new one is refused"
        return Outcome.COMPLETED, f"{names} is changed, and every engine refuses the former one"

    async def _give(self, target: Target, stage: RotationStage, node: RollNode, *, ask: bool) -> None:
        step = CredentialsStep(NodeStep(target, node.component, node.group, node.name, node.pod), stage.stage)

        async def work() -> None:
            await run_step(Step.GIVE_CREDENTIALS, step, type(None), f"{node.name}: {_SAID[stage.stage]}")

        if not ask:
            await work()
            return
        await self.control.safe_point(target, f"before {node.name}")
        await self.control.attempt(target, node.name, work)
