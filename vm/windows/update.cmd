@echo off
rem Runs at each boot, as SYSTEM: takes the agent over from the disc in the drive when that has another build of it.
setlocal
for %%d in (D E F G H) do if exist %%d:\hotswap\hsagent.exe call :take %%d:
exit /b 0

:take
fc /b "%~1\hotswap\hsagent.exe" C:\hotswap\hsagent.exe >nul && exit /b 0
C:\hotswap\hsagent.exe --uninstall
copy /y "%~1\hotswap\hsagent.exe" C:\hotswap\hsagent.exe && C:\hotswap\hsagent.exe --install --port \\.\Global\org.hotswap.agent.0 --port COM2
exit /b %ERRORLEVEL%
