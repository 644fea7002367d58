@echo off
rem Runs once in a new Windows, as an administrator; the argument is the drive of the disc that it lies on. Everything it
rem does is written to C:\hotswap\install.log.
setlocal
if "%~1"=="" (
    echo usage: install.cmd DRIVE: 1>&2
    exit /b 2
)
if not exist C:\hotswap mkdir C:\hotswap
call :install "%~1" >C:\hotswap\install.log 2>&1
exit /b %ERRORLEVEL%

:install
copy /y "%~1\hotswap\hsagent.exe" C:\hotswap\hsagent.exe || exit /b 1
copy /y "%~1\hotswap\update.cmd" C:\hotswap\update.cmd || exit /b 1
rem The certificate that test drivers are signed with.
certutil -f -addstore Root "%~1\hotswap\test-signing.cer" || exit /b 1
certutil -f -addstore TrustedPublisher "%~1\hotswap\test-signing.cer" || exit /b 1
rem Refused under Secure Boot; from the next boot on drivers with that signature load.
if exist "%~1\hotswap\test-signing.on" (
    bcdedit /set testsigning on || exit /b 1
)
rem A guest that sleeps or installs updates in mid-test is no guest, and one that crashes keeps its dump and waits.
powercfg /hibernate off
powercfg /change standby-timeout-ac 0
powercfg /change monitor-timeout-ac 0
reg add HKLM\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate\AU /v NoAutoUpdate /t REG_DWORD /d 1 /f || exit /b 1
reg add HKLM\SYSTEM\CurrentControlSet\Control\CrashControl /v AutoReboot /t REG_DWORD /d 0 /f || exit /b 1
reg add HKLM\SYSTEM\CurrentControlSet\Control\CrashControl /v CrashDumpEnabled /t REG_DWORD /d 2 /f || exit /b 1
rem The agent of the harness that starts the machine comes on a disc at each boot, and may be another build.
schtasks /create /f /ru SYSTEM /rl HIGHEST /sc onstart /tn hotswap-update /tr "cmd.exe /c C:\hotswap\update.cmd" || exit /b 1
C:\hotswap\hsagent.exe --install --port \\.\Global\org.hotswap.agent.0 --port COM2 || exit /b 1
echo done
exit /b 0
